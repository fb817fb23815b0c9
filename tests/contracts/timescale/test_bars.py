# Generated from test_bars_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Bars, rows and newest rows: right whether or not a refresh has run, from the level that is quickest to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest

from storekeeper.errors import BelowWatermarkError, ColumnError, InputError
from storekeeper.span import Span, days, hours, minutes, months
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment, stored_in
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
ROWS: list[dict[str, object]] = [
    {
        "time": START + timedelta(minutes=7 * step),
        "symbol": symbol,
        "price": Decimal(100 + (step * 37) % 89) / 8,
        "volume": Decimal(1 + step % 5) / 4,
    }
    for step in range(2000)
    for symbol in ("AAPL", "MSFT")
]


@pytest.fixture
def store(series_url: str, engine: Engine) -> Iterator[Timescale]:
    with opened(series_url, engine) as store:
        store.append("lab.ticks", ROWS)
        yield store


def expected(every: Span, symbol: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Bars as Python makes them."""
    buckets: dict[datetime, list[tuple[datetime, Decimal, Decimal]]] = {}
    for row in rows:
        time, price, volume = row["time"], row["price"], row["volume"]
        assert isinstance(time, datetime)
        assert isinstance(price, Decimal)
        assert isinstance(volume, Decimal)
        if row["symbol"] == symbol:
            buckets.setdefault(every.floor(time), []).append((time, price, volume))
    result: list[dict[str, object]] = []
    for bucket, ticks in sorted(buckets.items()):
        ticks.sort()
        volume = sum((tick[2] for tick in ticks), Decimal(0))
        notional = sum((tick[1] * tick[2] for tick in ticks), Decimal(0))
        result.append(
            {
                "bucket": bucket,
                "symbol": symbol,
                "open": ticks[0][1],
                "high": max(tick[1] for tick in ticks),
                "low": min(tick[1] for tick in ticks),
                "close": ticks[-1][1],
                "volume": volume,
                "vwap": round(notional / volume, 12),
                "count": len(ticks),
            }
        )
    return result


@pytest.mark.parametrize(
    "every", [minutes(1), minutes(5), minutes(15), hours(1), hours(4), days(1), days(7), months(1)]
)
def test_bars_before_between_and_after_refreshes(store: Timescale, psql: Psql, every: Span) -> None:
    def check(rows: list[dict[str, object]]) -> None:
        table = store.bars("lab.ticks", ["AAPL"], every=every, exact=True)
        assert table.to_pylist() == expected(every, "AAPL", rows)

    check(ROWS)
    store.refresh("lab.ticks", as_of=START + timedelta(days=3))
    check(ROWS)
    store.refresh("lab.ticks", as_of=START + timedelta(days=30))
    check(ROWS)
    psql.execute("DELETE FROM lab.ticks WHERE time >= '2014-05-02 03:00Z' AND time < '2014-05-02 05:30Z'")
    gone = (moment("2014-05-02 03:00"), moment("2014-05-02 05:30"))
    check([row for row in ROWS if not gone[0] <= row["time"] < gone[1]])  # type: ignore[operator]  # a time


def highest_of(store: Timescale, every: Span) -> float:
    highest: float = max(bar["high"] for bar in (store.bars("lab.ticks", every=every)).to_pylist())
    return highest


@pytest.mark.one_backend
def test_a_refreshed_rollup_is_what_answers(store: Timescale, psql: Psql) -> None:
    """Seen by a lie that only the rollup tells, which its own capture was kept from noting."""
    store.refresh("lab.ticks", as_of=START + timedelta(days=30))
    lied_to = stored_in(psql, "lab.ticks_1h")
    psql.execute(f"UPDATE {lied_to} SET high = 1000 WHERE bucket = '2014-05-02 03:00Z'".encode())
    for every, highest in ((hours(1), 1000), (days(1), 1000), (minutes(5), 23.5)):
        assert highest_of(store, every) == highest
    psql.execute(
        "UPDATE lab.ticks SET volume = volume WHERE time >= '2014-05-02 03:50Z' AND time < '2014-05-02 04:00Z'"
    )
    assert highest_of(store, hours(1)) == 23.5


def test_bars_are_whole_buckets_within_bounds(store: Timescale) -> None:
    bars = store.bars(
        "lab.ticks", every=hours(1), start=START + timedelta(minutes=90), end=START + timedelta(minutes=121)
    )
    found = bars.to_pylist()
    assert [(bar["bucket"].hour, bar["symbol"]) for bar in found] == [
        (1, "AAPL"),
        (1, "MSFT"),
        (2, "AAPL"),
        (2, "MSFT"),
    ]
    assert [bar["count"] for bar in found] == [9, 9, 8, 8]


def test_types_of_bars(store: Timescale) -> None:
    assert (store.bars("lab.ticks", every=hours(1))).schema.types == [
        pa.timestamp("us", tz="UTC"),
        pa.string(),
        *[pa.float64()] * 6,
        pa.int64(),
    ]
    exact = store.bars("lab.ticks", every=hours(1), exact=True)
    assert exact.schema.field("open").type == pa.decimal128(18, 6)
    assert exact.schema.field("volume").type == pa.decimal128(38, 8)
    assert exact.schema.field("vwap").type == pa.decimal128(38, 12)


def test_without_volume_there_is_no_average_price(store: Timescale) -> None:
    store.append("lab.ticks", [{"time": moment("2015-01-01 00:00"), "symbol": "IDLE", "price": 3, "volume": 0}])
    for exact in (False, True):
        (bar,) = (store.bars("lab.ticks", ["IDLE"], every=hours(1), exact=exact)).to_pylist()
        assert (bar["close"], bar["volume"], bar["vwap"], bar["count"]) == (3, 0, None, 1)


def test_bars_of_nothing(store: Timescale) -> None:
    assert (store.bars("lab.candles", every=days(1))).num_rows == 0
    assert (store.bars("lab.ticks", ["NONE"], every=days(1))).num_rows == 0
    assert (store.bars("lab.ticks", [], every=days(1))).num_rows == 0


@pytest.mark.one_backend
def test_below_the_watermark_only_the_rollups_answer(store: Timescale) -> None:
    store.drop_chunks("lab.ticks", as_of=START + timedelta(days=35))
    for every in (minutes(5), hours(1), days(7)):
        found = store.bars("lab.ticks", ["MSFT"], every=every, start=START, exact=True)
        assert found.to_pylist() == expected(every, "MSFT", ROWS)
    first = (store.bars("lab.ticks", every=minutes(1))).to_pylist()[0]["bucket"]
    assert first == moment("2014-05-06 00:03")
    with pytest.raises(BelowWatermarkError) as caught:
        store.bars("lab.ticks", every=minutes(1), start=START)
    assert "2014-05-06" in str(caught.value)
    assert "1h" in caught.value.hint


def test_candles_of_candles(store: Timescale) -> None:
    rows = [
        {
            "time": START + timedelta(days=day),
            "symbol": "AAPL",
            "open": 10 + day,
            "high": 20 + day,
            "low": 5 + day,
            "close": 11 + day,
            "volume": 100,
        }
        for day in range(31)
    ]
    store.append("lab.candles", rows)
    bars = (store.bars("lab.candles", ["AAPL"], every=months(1), exact=True)).to_pylist()
    assert bars == [
        {
            "bucket": START,
            "symbol": "AAPL",
            "open": 10,
            "high": 50,
            "low": 5,
            "close": 41,
            "volume": 3100,
            "count": 31,
        }
    ]


def test_bars_need_measures(store: Timescale) -> None:
    with pytest.raises(InputError, match="no rollups"):
        store.bars("lab.Readings", every=days(1))
    with pytest.raises(InputError, match="before it begins"):
        store.bars("lab.ticks", every=days(1), start=START, end=START)
    with pytest.raises(InputError, match="list of keys"):
        store.bars("lab.ticks", "AAPL", every=days(1))


def test_rows_by_time_and_columns(store: Timescale) -> None:
    table = store.raw(
        "lab.ticks",
        start=START + timedelta(minutes=7),
        end=START + timedelta(minutes=21),
        where={"symbol": ["MSFT", "NONE"], "volume": [Decimal("0.5"), 9]},
        columns=["price", "time"],
    )
    assert table.to_pylist() == [{"price": 17.125, "time": START + timedelta(minutes=7)}]
    assert (store.raw("lab.ticks", limit=3)).num_rows == 3
    everything = (store.raw("lab.ticks")).to_pylist()
    assert len(everything) == 4000
    assert (store.raw("lab.ticks", limit=3, newest_first=True)).to_pylist() == everything[:-4:-1]
    with pytest.raises(ColumnError):
        store.raw("lab.ticks", columns=["nonsense"])
    with pytest.raises(ColumnError):
        store.raw("lab.ticks", where={"nonsense": [1]})


@pytest.mark.one_backend
def test_the_newest_of_each_key(store: Timescale) -> None:
    newest = ROWS[-1]["time"]
    for keys in (["MSFT", "NONE", "AAPL", "AAPL"], None):
        table = store.latest("lab.ticks", keys)
        assert [(row["symbol"], row["time"]) for row in table.to_pylist()] == [("AAPL", newest), ("MSFT", newest)]


def test_the_newest_by_a_key_of_two_columns(store: Timescale) -> None:
    one, two = UUID(int=1), UUID(int=2)
    rows = [
        {"at": START + timedelta(days=day), "station": station, "kind": kind, "value": day}
        for day in (0, 400)
        for station in (one, two)
        for kind in (1, 2)
    ]
    store.append("lab.Readings", rows)
    found = (store.latest("lab.Readings", [(one, 2), (two, 1)])).to_pylist()
    assert [(row["station"], row["kind"], row["value"]) for row in found] == [(str(one), 2, 400), (str(two), 1, 400)]
    with pytest.raises(InputError):
        store.latest("lab.Readings", [one])
