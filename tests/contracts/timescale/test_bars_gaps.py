# Generated from test_bars_gaps_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Gaps in bars, filled as pandas fills them; values from before the range; one series as of another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from storekeeper.errors import InputError
from storekeeper.span import days, hours, minutes, seconds
from storekeeper.stores.timescale.gaps import Gaps
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores import opened

START = moment("2014-05-01 00:00")
#: Prices at irregular minutes: whole hours have none. MSFT begins late and ends early.
ROWS: list[dict[str, Any]] = [
    {"time": START + timedelta(minutes=minute), "symbol": symbol, "price": Decimal(price) / 4, "volume": Decimal(2)}
    for symbol, minutes_and_prices in {
        "AAPL": [(3, 400), (7, 404), (31, 396), (200, 420), (205, 421), (600, 440), (1430, 401)],
        "MSFT": [(95, 160), (100, 161), (400, 170), (1000, 150)],
    }.items()
    for minute, price in minutes_and_prices
]
PRICES = ["open", "high", "low", "close"]
END = START + timedelta(days=1)


@pytest.fixture
def store(series_url: str, engine: Engine) -> Iterator[Timescale]:
    with opened(series_url, engine) as store:
        store.append("lab.ticks", ROWS)
        yield store


def in_pandas(bars: pd.DataFrame, gaps: Gaps, every: str) -> pd.DataFrame:
    """Bars that are there, spread over the whole day and filled."""
    buckets = pd.date_range(START, END, freq=every, inclusive="left", unit="us")
    index = pd.MultiIndex.from_product([buckets, ["AAPL", "MSFT"]], names=["bucket", "symbol"])
    full = bars.set_index(["bucket", "symbol"]).reindex(index)
    missing = full["count"].isna()
    if gaps == "last":
        close = full["close"].groupby("symbol").ffill()
        for name in PRICES:
            full[name] = full[name].where(~missing, close)
    if gaps == "linear":
        for name in PRICES:
            full[name] = full[name].groupby("symbol").transform(lambda line: line.interpolate(limit_area="inside"))
    if gaps != "null":
        full[["volume", "count"]] = full[["volume", "count"]].fillna(0)
    return full.reset_index()


@pytest.mark.parametrize("gaps", ["null", "last", "linear"])
def test_gaps_are_filled_as_pandas_fills_them(store: Timescale, gaps: Gaps) -> None:
    for every, freq in ((minutes(5), "5min"), (hours(1), "1h")):
        bars = (store.bars("lab.ticks", every=every, start=START, end=END)).to_pandas()
        found = store.bars("lab.ticks", every=every, start=START, end=END, gaps=gaps)
        pd.testing.assert_frame_equal(found.to_pandas(), in_pandas(bars, gaps, freq), check_dtype=False)
        store.refresh("lab.ticks", as_of=END + timedelta(days=1))


def test_exact_prices_on_a_line(store: Timescale) -> None:
    found = store.bars("lab.ticks", ["MSFT"], every=hours(1), start=START, end=END, gaps="linear", exact=True)
    closes = [bar["close"] for bar in found.to_pylist()]
    assert closes[:8] == [
        None,
        *(Decimal(text) for text in ("40.25", "40.70", "41.15", "41.60", "42.05", "42.50", "42")),
    ]
    assert closes[8] == Decimal("41.5")
    assert found.schema.field("close").type.scale == 6


def test_open_ends_are_the_first_and_the_last_bar(store: Timescale) -> None:
    found = (store.bars("lab.ticks", every=hours(1), gaps="null")).to_pylist()
    assert [(bar["bucket"].hour, bar["symbol"]) for bar in (found[0], found[-1])] == [(0, "AAPL"), (23, "MSFT")]
    assert len(found) == 48
    later = (store.bars("lab.ticks", every=hours(1), gaps="last", start=START + timedelta(hours=12))).to_pylist()
    assert [bar["bucket"].hour for bar in later] == [hour for hour in range(12, 24) for _ in "AM"]


@pytest.mark.parametrize("state", ["rows", "refreshed", "dropped"])
def test_a_value_from_before_is_carried_into_the_range(store: Timescale, state: str) -> None:
    start = START + timedelta(days=2)
    if state != "rows":
        store.refresh("lab.ticks", as_of=END + timedelta(days=1))
    if state == "dropped":
        store.drop_chunks("lab.ticks", as_of=START + timedelta(days=32))
        assert (store.raw("lab.ticks")).num_rows == 0
    asked: dict[str, Any] = {"every": hours(6), "start": start, "end": start + timedelta(days=1), "gaps": "last"}
    found = (store.bars("lab.ticks", ["MSFT", "NONE", "AAPL"], **asked)).to_pylist()
    assert [(bar["symbol"], bar["open"], bar["close"], bar["volume"], bar["count"], bar["vwap"]) for bar in found] == [
        ("AAPL", 100.25, 100.25, 0, 0, None),
        ("MSFT", 37.5, 37.5, 0, 0, None),
    ] * 4
    assert (store.bars("lab.ticks", ["MSFT"], **asked, look_back=hours(24))).num_rows == 0
    assert (store.bars("lab.ticks", ["MSFT"], **asked, look_back=days(1 / 24 * 33))).num_rows == 4
    assert (store.bars("lab.ticks", **asked)).num_rows == 0, "no key was asked for, and none has a bar"
    assert (store.bars("lab.ticks", ["MSFT"], **(asked | {"gaps": "linear"}))).num_rows == 0
    store.append("lab.ticks", [{"time": start, "symbol": "MSFT", "price": 9, "volume": 1}])
    found = (store.bars("lab.ticks", **asked)).to_pylist()
    assert [(bar["close"], bar["count"]) for bar in found] == [(9, 1), (9, 0), (9, 0), (9, 0)]


def test_a_key_of_many_columns(store: Timescale) -> None:
    rows = [
        {"time": START + timedelta(hours=hour), "sensor": sensor, "value": value, "weight": 1.5}
        for hour, sensor, value in ((1, "b", 1), (400, "b", 3), (1, "a", 2))
    ]
    store.append("lab.late", rows)
    found = (store.bars("lab.late", every=days(7), gaps="last")).to_pylist()
    assert [(bar["sensor"], bar["close"], bar["volume"]) for bar in found[2:4]] == [("a", 2, 0), ("b", 1, 0)]


def test_candles_of_candles_carry_the_close(store: Timescale) -> None:
    rows = [
        {"time": START + timedelta(days=day), "symbol": "AAPL", "volume": 5}
        | dict(zip(PRICES, (1 + day, 4 + day, 0.5, 2 + day), strict=True))
        for day in (0, 3)
    ]
    store.append("lab.candles", rows)
    asked: dict[str, Any] = {"every": days(1), "gaps": "last", "start": START + timedelta(days=1)}
    for exact in (False, True):
        found = store.bars("lab.candles", ["AAPL"], end=START + timedelta(days=4), exact=exact, **asked)
        assert [tuple(bar[name] for name in PRICES) for bar in found.to_pylist()] == [
            *[(2, 2, 2, 2)] * 2,
            (4, 7, 0.5, 5),
        ]


def test_too_many_bars_to_fill(store: Timescale) -> None:
    with pytest.raises(InputError, match="too many to fill"):
        store.bars("lab.ticks", every=seconds(1 / 1000), start=START, end=END, gaps="null")
    with pytest.raises(InputError, match="of 2 keys are too many"):
        store.bars("lab.ticks", every=seconds(1 / 100), start=START, end=END, gaps="last")
    assert (store.bars("lab.ticks", every=seconds(1 / 1000), start=START, end=END)).num_rows == len(ROWS)


def test_a_series_as_of_another(store: Timescale) -> None:
    daily = [
        {"time": START + timedelta(hours=hour), "symbol": symbol, **dict.fromkeys(PRICES, hour), "volume": 1}
        for hour in (-48, 0, 2, 10)
        for symbol in ("AAPL", "MSFT", "GOOG")
    ]
    store.append("lab.candles", daily)
    rows = pd.DataFrame(ROWS).sort_values(["time", "symbol"]).astype({"price": float})
    candles = pd.DataFrame(daily).sort_values("time")[["time", "symbol", "close"]]
    for strict in (False, True):
        found = store.as_of(
            "lab.ticks", "lab.candles", columns=["time", "symbol", "price"], right_columns=["close"], strict=strict
        )
        wanted = pd.merge_asof(
            rows[["time", "symbol", "price"]], candles, on="time", by="symbol", allow_exact_matches=not strict
        )
        pd.testing.assert_frame_equal(found.to_pandas(), wanted, check_dtype=False)
    one = store.as_of("lab.ticks", "lab.candles", ["MSFT"], start=START + timedelta(hours=3), tolerance=hours(5))
    assert one.column_names == [
        *("time", "symbol", "price", "volume", "bid", "ask"),
        *("time_right", "open", "high", "low", "close", "volume_right"),
    ]
    assert [row["close"] for row in one.to_pylist()] == [2, None]
    early = store.as_of("lab.ticks", "lab.candles", start=START, end=START + timedelta(minutes=10), strict=True)
    assert early.column("close").to_pylist() == [0, 0]
    exact = store.as_of("lab.ticks", "lab.candles", exact=True, zone="Asia/Tokyo")
    assert str(exact.schema.field("close").type) == "decimal128(18, 6)"
    assert exact.schema.field("time_right").type.tz == "Asia/Tokyo"
    assert (store.as_of("lab.ticks", "lab.candles", ["NONE"])).num_rows == 0
    assert (store.as_of("lab.ticks", "lab.candles", start=END)).column_names == one.column_names
