"""Columns in and out: rows grouped by chunk, Arrow types of answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, strategies as st
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper.catalog.ranges import range_of
from storekeeper.errors import ValueFitError
from storekeeper.span import Span, days, hours, months, years
from storekeeper.stores.timescale.answers import arrow_type, batch_of, schema_of, table_of
from storekeeper.stores.timescale.batches import earliest_of, encoded, latest_of
from storekeeper.stores.timescale.grouped import grouped
from timescale_series import TICKS

TIME = pa.timestamp("us", tz="UTC")


@given(
    st.lists(
        st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # bounds are naive
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([hours(6), days(1), days(7), days(30), months(1), years(1)]),
)
def test_rows_are_grouped_by_chunk_and_keep_their_order(moments: list[datetime], chunk: Span) -> None:
    table = pa.table({"time": pa.array(moments, TIME), "row": list(range(len(moments)))})
    given = grouped(table, replace(TICKS, chunk=chunk))
    assert list(given.ranges) == sorted({range_of(moment, chunk) for moment in moments})
    rows: list[int] = [row["row"] for _, part in given.each() for row in part.to_pylist()]
    places = [(range_of(moments[row], chunk), row) for row in rows]
    assert places == sorted(places)
    assert (earliest_of(table, "time"), latest_of(table, "time")) == (min(moments), max(moments))


def test_one_stream_of_many_batches() -> None:
    start = datetime(2014, 5, 7, tzinfo=UTC)
    count = 70_000
    table = pa.table(
        {
            "time": pa.array([start + timedelta(seconds=second) for second in range(count)], TIME),
            "symbol": pa.array(["A"] * count),
        }
    )
    blocks = list(encoded(table, TICKS.table))
    assert len(blocks) == 2
    assert blocks[0].startswith(b"PGCOPY\n\xff\r\n\x00")
    assert not blocks[1].startswith(b"PGCOPY")
    assert blocks[1].endswith(b"\xff\xff")
    assert sum(map(len, blocks)) == 19 + 2 + count * (2 + 4 + 8 + 4 + 1)


@pytest.mark.parametrize(
    ("kind", "exact", "floating"),
    [
        (sa.Numeric(18, 6), pa.decimal128(18, 6), pa.float64()),
        (sa.Numeric(50, 6), pa.decimal256(50, 6), pa.float64()),
        (sa.Numeric(), pa.decimal256(76, 38), pa.float64()),
        (sa.Float(), pa.float64(), pa.float64()),
        (sa.SmallInteger(), pa.int16(), pa.int16()),
        (sa.Integer(), pa.int32(), pa.int32()),
        (sa.BigInteger(), pa.int64(), pa.int64()),
        (sa.DateTime(timezone=True), TIME, TIME),
        (sa.Date(), pa.date32(), pa.date32()),
        (sa.Uuid(), pa.string(), pa.string()),
        (JSONB(), pa.string(), pa.string()),
    ],
)
def test_types(kind: sa.types.TypeEngine[object], exact: object, floating: object) -> None:
    assert arrow_type(kind, exact=True) == exact
    assert arrow_type(kind, exact=False) == floating


def test_rows_become_columns() -> None:
    schema = schema_of([("price", sa.Numeric(18, 6)), ("symbol", sa.String())], exact=True)
    batch = batch_of([(Decimal("1.5"), "A"), (None, "B")], schema, target="lab.ticks")
    assert table_of([batch], schema).to_pylist() == [
        {"price": Decimal("1.500000"), "symbol": "A"},
        {"price": None, "symbol": "B"},
    ]
    assert table_of([], schema).num_rows == 0


def test_a_decimal_that_arrow_cannot_hold_is_an_error() -> None:
    schema = schema_of([("notional", sa.Numeric(38, 8))], exact=True)
    with pytest.raises(ValueFitError) as caught:
        batch_of([(Decimal(10) ** 35,)], schema, target="lab.ticks")
    assert caught.value.column == "notional"
