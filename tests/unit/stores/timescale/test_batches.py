"""Rows on their way into chunks: grouped, and cut into one piece a chunk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from storekeeper.span import Span, days, hours, months
from storekeeper.stores.sql.arrow import pa
from storekeeper.stores.timescale.batches import chunks_of, each_chunk

MOMENTS = st.datetimes(datetime(1999, 12, 1), datetime(2000, 3, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001  # made aware here


@pytest.mark.parametrize("chunk", [hours(6), days(1), days(7), months(1)], ids=str)
@given(moments=st.lists(MOMENTS, min_size=1, max_size=40))
def test_each_piece_is_of_one_chunk_and_no_row_is_lost(chunk: Span, moments: list[datetime]) -> None:
    table = pa.table({"time": pa.array(moments, pa.timestamp("us", "UTC")), "row": list(range(len(moments)))})
    grouped, ranges = chunks_of(table, "time", chunk)
    pieces = [piece.to_pylist() for piece in each_chunk(grouped, ranges, "time")]
    assert len(pieces) == len(ranges)
    for piece, range_ in zip(pieces, ranges, strict=True):
        assert piece
        assert all(row["time"] in range_ for row in piece)
        assert [row["row"] for row in piece] == sorted(row["row"] for row in piece)
    assert sorted(row["row"] for piece in pieces for row in piece) == list(range(len(moments)))


def test_rows_at_the_edges_of_chunks() -> None:
    midnight = datetime(2024, 5, 2, tzinfo=UTC)
    moments = [midnight, midnight - timedelta(microseconds=1)]
    table = pa.table({"time": pa.array(moments, pa.timestamp("us", "UTC"))})
    grouped, ranges = chunks_of(table, "time", days(1))
    assert [piece.column("time").to_pylist() for piece in each_chunk(grouped, ranges, "time")] == [
        [moments[1]],
        [moments[0]],
    ]
