"""What the time-series store is asked wrongly is refused before any server is asked, with words of the caller."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Aggregate, Catalog, Domain, Hypertable, Measure
from storekeeper.clock import SystemClock
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, ValueFitError
from storekeeper.span import days, hours
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.conditions import among
from storekeeper.timescale.partitions import PartitionsEngine
from storekeeper.timescale.shapes import shape_of
from timescale_series import CANDLES, POOL, READINGS, TICKS, moment

_BY_TEXT = Hypertable(
    sa.Table(
        "by_text",
        sa.MetaData(schema="lab"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("right", sa.Boolean),
    ),
    time="time",
    chunk=days(1),
    segment_by=("kind",),
)
START = moment("2024-03-01 00:00")
_NAIVE = START.replace(tzinfo=None)
_FIRST = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
_HOURS: dict[str, Any] = {"every": hours(1), "start": START, "end": moment("2024-03-02 00:00")}

Asked = Callable[[Any], object]


@pytest.fixture
def store() -> Timescale:
    """Of a server that is not there."""
    pool = Pool(
        "postgresql://nobody@127.0.0.1:1/none",
        pool=POOL,
        connect_timeout=1,
        transaction_timeout=1,
        slow_query=1,
        prepared=True,
        store="timescale",
        clock=SystemClock(),
    )
    return Timescale(
        pool, Catalog((Domain("lab", hypertables=(TICKS, READINGS, CANDLES, _BY_TEXT)),)), PartitionsEngine()
    )


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        (lambda store: store.stream(TICKS, where={"symbol": "AAPL"}), InputError, "no list of values of symbol"),
        (lambda store: store.stream(TICKS, where={"price": 1}), InputError, "no list of values of price"),
        (lambda store: store.stream(TICKS, where={"symbol": iter(["AAPL"])}), InputError, "no list of values"),
        (lambda store: store.stream(TICKS, where={"symbol": ["\ud800"]}), ValueFitError, "surrogate"),
        (lambda store: store.stream(TICKS, where={"time": [_NAIVE]}), NaiveTimeError, "no time zone"),
        (lambda store: store.stream(TICKS, where=[("symbol", ["AAPL"])]), InputError, "says of no column"),
        (lambda store: store.stream(TICKS, where={1: ["AAPL"]}), ColumnError, "no column 1"),
        (lambda store: store.stream(TICKS, columns=[]), ColumnError, "no column was asked for"),
        (lambda store: store.stream(TICKS, columns=[1]), ColumnError, "no column 1"),
        (lambda store: store.stream(TICKS, columns=["time", "price", "time"]), ColumnError, "asked for twice: time"),
        (lambda store: store.stream(TICKS, batch_rows=2**63), InputError, "batch_rows=9223372036854775808"),
        (lambda store: store.stream(TICKS, batch_rows=0), InputError, "batch_rows=0"),
        (lambda store: store.stream(TICKS, batch_rows=1.5), InputError, "batch_rows=1.5"),
        (lambda store: store.stream(TICKS, start="2024-03-01"), InputError, "'2024-03-01' is no moment"),
        (lambda store: store.stream(TICKS, end=date(2024, 3, 1)), InputError, "is no moment"),
        (lambda store: store.stream(TICKS, start=_FIRST), InputError, "before the year 1"),
        (lambda store: store.raw(TICKS, limit=-1), InputError, "limit=-1"),
        (lambda store: store.raw(TICKS, limit=2**63), InputError, "limit=9223372036854775808"),
        (lambda store: store.raw(TICKS, limit="1"), InputError, "limit='1'"),
        (lambda store: store.latest(TICKS, 7), InputError, "7 is no list of keys"),
        (lambda store: store.latest(TICKS, iter(["AAPL"])), InputError, "no list of keys"),
        (lambda store: store.bars(TICKS, 7, **_HOURS), InputError, "7 is no list of keys"),
        (lambda store: store.bars(TICKS, every=timedelta(hours=1)), InputError, "every=.* is no span"),
        (lambda store: store.bars(TICKS, every="1h"), InputError, "every='1h' is no span"),
        (lambda store: store.bars(TICKS, look_back=timedelta(1), **_HOURS), InputError, "look_back=.* is no span"),
        (lambda store: store.bars(TICKS, origin="09:30", **_HOURS), InputError, "origin='09:30' is neither"),
        (lambda store: store.as_of(TICKS, CANDLES, tolerance=timedelta(1)), InputError, "tolerance=.* is no span"),
        (lambda store: store.as_of(TICKS, CANDLES, columns=[]), ColumnError, "no column was asked for"),
        (lambda store: store.as_of(READINGS, _BY_TEXT), ColumnError, "an integer in lab.Readings and string"),
    ],
)
def test_a_wrong_question(store: Timescale, asked: Asked, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        asked(store)


@pytest.mark.parametrize(
    ("measures", "kind", "words"),
    [
        (["price"], InputError, "'price' is no measure"),
        ([Measure("", Aggregate.COUNT)], InputError, "no name of a column"),
        ([Measure("a\0", Aggregate.COUNT)], InputError, "no name of a column"),
        ([Measure("a" * 64, Aggregate.COUNT)], InputError, "no name of a column"),
        ([Measure("bucket", Aggregate.COUNT)], InputError, "called bucket"),
        (
            [
                Measure("vwap", Aggregate.MAX, ("price",)),
                Measure("notional", Aggregate.SUM_PRODUCT, ("price", "volume")),
                Measure("volume", Aggregate.SUM, ("volume",)),
            ],
            InputError,
            "called vwap",
        ),
        ([Measure("total", Aggregate.SUM, ("symbol",))], ColumnError, "no numbers"),
    ],
)
def test_measures_that_are_none(measures: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        shape_of(TICKS, measures)


def test_a_sum_of_products_may_be_called_as_it_is_shown() -> None:
    shape_of(
        TICKS,
        [
            Measure("vwap", Aggregate.SUM_PRODUCT, ("price", "volume")),
            Measure("volume", Aggregate.SUM, ("volume",)),
        ],
    )


def test_what_has_no_order_has_no_greatest() -> None:
    for hypertable, column in ((READINGS, "note"), (READINGS, "station"), (_BY_TEXT, "right")):
        with pytest.raises(ColumnError, match="no order"):
            shape_of(hypertable, [Measure("most", Aggregate.MAX, (column,))])


def test_an_integer_that_a_column_cannot_hold_is_in_no_row() -> None:
    condition = among(READINGS.table, {"kind": [3, 40_000]}, operation="read", target="lab.Readings")
    assert list(condition.parameters.values()) == [["3"]]
