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
from storekeeper.stores.timescale.batches import without_repeats
from storekeeper.stores.timescale.grouped import Grouped, grouped
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


def address_of(table: Table) -> int:
    """Where the places lie in memory."""
    column: Any = table.column("place").chunk(0)
    address: int = column.buffers()[1].address
    return address


def rows_of(table: Table) -> list[dict[str, Any]]:
    return table.to_pylist()


def laid_out(given: Grouped) -> Table:
    """All rows, chunk after chunk."""
    table: Table = pa.concat_tables([part for _, part in given.each()])
    return table


def test_orders_are_those_of_the_index_and_of_the_columnstore() -> None:
    assert key_order(TICKS) == (Term("symbol"), Term("time", descending=True))
    assert segment_order(TICKS) == (Term("symbol"), Term("time", descending=True))


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["A", "B", "CC", "", None])), min_size=1, max_size=40))
def test_rows_are_in_order_of_chunk_and_key_and_otherwise_in_their_own(ticks: list[tuple[int, str | None]]) -> None:
    given = grouped(rows(ticks), TICKS, key_order(TICKS))
    table = laid_out(given)
    wanted = sorted(
        range(len(ticks)), key=lambda i: (ticks[i][0] // 24, ticks[i][1] is None, ticks[i][1] or "", -ticks[i][0])
    )
    assert table.column("place").to_pylist() == wanted
    assert len(given.ranges) == len({hour // 24 for hour, _ in ticks})
    parts = list(given.each())
    assert [chunk for chunk, _ in parts] == list(given.ranges)
    assert all(at in chunk for chunk, part in parts for at in listed(part, "time"))
    for count in (1, 2, 3):
        divided = given.shares(count)
        assert len(divided) <= count
        assert [chunk for share in divided for chunk in share.ranges] == list(given.ranges)
        assert pa.concat_tables([laid_out(share) for share in divided]).equals(table)
    assert pa.concat_tables(given.several(5)).equals(table)
    for part in given.below(START + timedelta(hours=30)):
        assert any(at < START + timedelta(days=2) for at in listed(part, "time"))
    older = [row for part in given.below(START + timedelta(hours=30)) for row in listed(part, "place")]
    assert {place for place, (hour, _) in enumerate(ticks) if hour < 30} <= set(older)
    for keep in ("first", "last"):
        kept = listed(without_repeats(table, ("symbol", "time"), keep), "place")
        chosen: dict[object, int] = {}
        for place, (hour, symbol) in enumerate(ticks):
            key = (hour, symbol) if symbol is not None else place  # a NULL equals nothing
            chosen[key] = chosen.get(key, place) if keep == "first" else place
        assert sorted(kept) == sorted(chosen.values())


def test_rows_that_are_in_order_are_not_moved() -> None:
    given = rows([(2, "A"), (1, "A"), (1, "B"), (30, "A")])
    parts = [part for _, part in grouped(given, TICKS, key_order(TICKS)).each()]
    assert len({address_of(part) for part in [given, *parts]}) == 1


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
    pairs = [(row["a"], -row["b"]) for row in rows_of(laid_out(grouped(given, wide, key_order(wide))))]
    assert pairs == sorted(pairs)
