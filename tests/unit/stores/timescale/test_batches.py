"""The order in which rows go in, and what of them is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from hypothesis import given, strategies as st

from storekeeper.catalog import Hypertable
from storekeeper.span import days
from storekeeper.stores.sql.arrow import Table, pa
from storekeeper.stores.timescale.batches import chunks_of, each_chunk, several_chunks, shares, without_repeats
from storekeeper.timescale.incoming import Term, key_order, segment_order

_table = sa.Table(
    "ticks",
    sa.MetaData(schema="lab"),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("symbol", sa.Text),
    sa.Column("place", sa.Integer),
)
sa.Index("idx", _table.c.symbol, _table.c.time.desc(), unique=True)
TICKS = Hypertable(
    _table, time="time", natural_key=("symbol", "time"), chunk=days(1), segment_by=("symbol",), order_by=("time DESC",)
)
START = datetime(2014, 5, 7, tzinfo=UTC)


def rows(ticks: list[tuple[int, str | None]]) -> Table:
    made: Table = pa.table(
        {
            "time": pa.array([START + timedelta(hours=hour) for hour, _ in ticks], pa.timestamp("us", tz="UTC")),
            "symbol": pa.array([symbol for _, symbol in ticks], pa.string()),
            "place": pa.array(range(len(ticks)), pa.int32()),
        }
    )
    return made


def listed(table: Table, column: str) -> list[Any]:
    found: list[Any] = table.column(column).to_pylist()
    return found


def rows_of(table: Table) -> list[dict[str, Any]]:
    return table.to_pylist()


def test_orders_are_those_of_the_index_and_of_the_columnstore() -> None:
    assert key_order(TICKS) == (Term("symbol"), Term("time", descending=True))
    assert segment_order(TICKS) == (Term("symbol"), Term("time", descending=True))


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["A", "B", "CC", "", None])), min_size=1, max_size=40))
def test_rows_are_in_order_of_chunk_and_key_and_otherwise_in_their_own(ticks: list[tuple[int, str | None]]) -> None:
    table, ranges = chunks_of(rows(ticks), TICKS, key_order(TICKS))
    wanted = sorted(
        range(len(ticks)), key=lambda i: (ticks[i][0] // 24, ticks[i][1] is None, ticks[i][1] or "", -ticks[i][0])
    )
    assert table.column("place").to_pylist() == wanted
    assert len(ranges) == len({hour // 24 for hour, _ in ticks})
    parts = list(each_chunk(table, ranges, "time"))
    assert [chunk for chunk, _ in parts] == list(ranges)
    assert all(at in chunk for chunk, part in parts for at in listed(part, "time"))
    for count in (1, 2, 3):
        divided = shares(table, ranges, "time", count)
        assert len(divided) <= count
        assert pa.concat_tables([part for _, part in divided]).equals(table)
    assert pa.concat_tables([part for _, part in several_chunks(table, ranges, "time", 5)]).equals(table)
    for keep in ("first", "last"):
        kept = listed(without_repeats(table, ("symbol", "time"), keep), "place")
        chosen: dict[object, int] = {}
        for place, (hour, symbol) in enumerate(ticks):
            key = (hour, symbol) if symbol is not None else place  # a NULL equals nothing
            chosen[key] = chosen.get(key, place) if keep == "first" else place
        assert sorted(kept) == sorted(chosen.values())


def test_rows_that_are_in_order_are_not_moved() -> None:
    given = rows([(2, "A"), (1, "A"), (1, "B"), (30, "A")])
    table, _ = chunks_of(given, TICKS, key_order(TICKS))
    assert table is given


def test_keys_too_wide_for_one_number() -> None:
    table = sa.Table(
        "wide",
        sa.MetaData(schema="lab"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("a", sa.BigInteger),
        sa.Column("b", sa.BigInteger),
    )
    sa.Index("idx_wide", table.c.a, table.c.b.desc(), table.c.time, unique=True)
    wide = Hypertable(table, time="time", natural_key=("a", "b", "time"), chunk=days(1))
    random = np.random.default_rng(1)
    a, b = (random.integers(-(2**62), 2**62, 50) for _ in range(2))
    given = pa.table({"time": pa.array([START] * 50, pa.timestamp("us", tz="UTC")), "a": np.repeat(a[:25], 2), "b": b})
    ordered, _ = chunks_of(given, wide, key_order(wide))
    pairs = [(row["a"], -row["b"]) for row in rows_of(ordered)]
    assert pairs == sorted(pairs)
