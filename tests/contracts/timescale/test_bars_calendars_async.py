"""Bars on the clock of a zone and from an origin, as pandas makes them of the rows; refreshed, stale or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from storekeeper.catalog import Aggregate, Measure
from storekeeper.errors import ColumnError, InputError, NaiveTimeError
from storekeeper.span import Span, days, hours, minutes, months, weeks
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.calendars import calendar_of
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores_async import opened

Psql = psycopg.Connection[tuple[object, ...]]

NEW_YORK = "America/New_York"
NAIVE = datetime(2014, 1, 1)  # noqa: DTZ001  # refused
#: Six days around the change of New York's clocks of 2 November 2014.
START = moment("2014-10-30 05:00")
END = START + timedelta(days=6)
ROWS: list[dict[str, Any]] = [
    {
        "time": START + timedelta(minutes=11 * step + place),
        "symbol": symbol,
        "price": Decimal(100 + (step * 37 + place) % 89) / 8,
        "volume": Decimal(1 + step % 5) / 4,
    }
    for step in range(6 * 1440 // 11)
    for place, symbol in enumerate(("AAPL", "MSFT"))
    if not (symbol == "MSFT" and 300 < step < 420)  # more than half a day without a row
]
FRAME = pd.DataFrame(ROWS).astype({"price": float, "volume": float})

#: How pandas says which bucket a time belongs to.
Cut = Callable[["pd.Series[Any]"], "pd.Series[Any]"]


def sessions(times: pd.Series[Any]) -> pd.Series[Any]:
    """Hours from 09:30 in New York: its clocks change by whole hours."""
    return (times - pd.Timedelta(minutes=30)).dt.floor("h") + pd.Timedelta(minutes=30)


CUTS: dict[str, tuple[Span, str, datetime | time | None, Cut]] = {
    "days of New York": (days(1), NEW_YORK, None, lambda t: t.dt.tz_convert(NEW_YORK).dt.normalize()),
    "days of Kathmandu": (days(1), "Asia/Kathmandu", None, lambda t: t.dt.tz_convert("Asia/Kathmandu").dt.normalize()),
    "weeks of New York": (
        weeks(1),
        NEW_YORK,
        None,
        lambda t: (
            t.dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.to_period("W").dt.start_time.dt.tz_localize(NEW_YORK)
        ),
    ),
    "months of New York": (
        months(1),
        NEW_YORK,
        None,
        lambda t: (
            t.dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.to_period("M").dt.start_time.dt.tz_localize(NEW_YORK)
        ),
    ),
    "hours from 09:30": (hours(1), NEW_YORK, time(9, 30), sessions),
    "minutes": (minutes(15), NEW_YORK, None, lambda t: t.dt.floor("15min")),
    "days from 18:00 UTC": (
        days(1),
        "UTC",
        time(18),
        lambda t: (t - pd.Timedelta(hours=18)).dt.normalize() + pd.Timedelta(hours=18),
    ),
    "4 hours from a moment": (
        hours(4),
        "UTC",
        datetime(2014, 1, 1, 1, tzinfo=UTC),
        lambda t: (t - pd.Timedelta(hours=1)).dt.floor("4h") + pd.Timedelta(hours=1),
    ),
}


@pytest.fixture
async def store(series_url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine) as store:
        await store.append("lab.ticks", ROWS)
        yield store


def in_pandas(cut: Cut, rows: pd.DataFrame = FRAME) -> pd.DataFrame:
    """Bars of rows, as pandas makes them."""
    rows = rows.assign(bucket=cut(rows["time"]).dt.tz_convert("UTC"), notional=rows["price"] * rows["volume"])
    grouped = rows.sort_values("time").groupby(["bucket", "symbol"])
    bars = grouped.agg(
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("volume", "sum"),
        notional=("notional", "sum"),
        count=("price", "size"),
    )
    bars.insert(5, "vwap", bars["notional"] / bars["volume"])
    return bars.drop(columns="notional").reset_index()


def same(found: pa.Table, wanted: pd.DataFrame) -> None:
    frame = found.to_pandas()
    frame["bucket"] = frame["bucket"].dt.tz_convert("UTC")
    pd.testing.assert_frame_equal(frame, wanted, check_dtype=False, check_index_type=False)


async def test_buckets_are_those_of_pandas(store: AsyncTimescale, psql: Psql) -> None:
    async def check(rows: pd.DataFrame = FRAME) -> None:
        for every, zone, origin, cut in CUTS.values():
            found = await store.bars("lab.ticks", every=every, zone=zone, origin=origin)
            assert found.schema.field("bucket").type == pa.timestamp("us", tz=zone)
            same(found, in_pandas(cut, rows))

    await check()
    await store.refresh("lab.ticks", as_of=START + timedelta(days=3))
    await check()
    await store.refresh("lab.ticks", as_of=END + timedelta(days=60))
    psql.execute("DELETE FROM lab.ticks WHERE time >= '2014-11-01 03:00Z' AND time < '2014-11-01 05:30Z'")
    first, last = moment("2014-11-01 03:00"), moment("2014-11-01 05:30")
    await check(FRAME[~FRAME["time"].between(first, last, inclusive="left")])


@pytest.mark.parametrize(
    ("every", "zone", "origin", "level"),
    [
        (days(1), NEW_YORK, None, "lab.ticks_1h"),
        (hours(1), NEW_YORK, None, "lab.ticks_1h"),
        (days(1), "Asia/Kathmandu", None, "lab.ticks_5min"),
        (hours(1), NEW_YORK, time(9, 30), "lab.ticks_5min"),
        (hours(1), NEW_YORK, time(9, 31), "lab.ticks"),
        (days(1), "UTC", datetime(2014, 1, 1, 12, tzinfo=UTC), "lab.ticks_1h"),
        (minutes(1), None, None, "lab.ticks"),
        (days(1), None, None, "lab.ticks_1h"),
    ],
)
async def test_the_coarsest_rollup_that_fits_answers(
    store: AsyncTimescale, every: Span, zone: str | None, origin: datetime | time | None, level: str
) -> None:
    await store.refresh("lab.ticks", as_of=END + timedelta(days=60))
    told = await store.explain("lab.ticks", every=every, zone=zone, origin=origin, start=START, end=END)
    assert told.level == level
    assert told.window == calendar_of(every, zone, origin).window(START, END)
    assert [part.source for part in told.parts] == [level]
    assert told.cold == ()


async def test_what_is_stale_is_told_and_read_from_rows(store: AsyncTimescale, psql: Psql) -> None:
    await store.refresh("lab.ticks", as_of=END + timedelta(days=60))
    psql.execute("UPDATE lab.ticks SET price = 999 WHERE time >= '2014-11-01 12:00Z' AND time < '2014-11-01 12:05Z'")
    told = await store.explain("lab.ticks", every=days(1), zone=NEW_YORK, start=START, end=END)
    noon = moment("2014-11-01 12:00")
    day = (datetime(2014, 10, 30, tzinfo=ZoneInfo(NEW_YORK)), datetime(2014, 11, 5, tzinfo=ZoneInfo(NEW_YORK)))
    assert [(part.start, part.end, part.source) for part in told.parts] == [
        (day[0], noon, "lab.ticks_1h"),
        (noon, noon + timedelta(hours=1), "lab.ticks"),
        (noon + timedelta(hours=1), day[1], "lab.ticks_1h"),
    ]
    assert "2014-11-01" in str(told)
    bars = (await store.bars("lab.ticks", every=days(1), zone=NEW_YORK)).to_pylist()
    assert max(bar["high"] for bar in bars) == 999


async def test_ranges_are_of_whole_buckets_and_keys_are_chosen(store: AsyncTimescale) -> None:
    start = datetime(2014, 11, 2, 0, 30, tzinfo=ZoneInfo(NEW_YORK))
    table = await store.bars(
        "lab.ticks", ["AAPL", "NONE"], every=days(1), zone=NEW_YORK, start=start, end=start + timedelta(minutes=1)
    )
    (bar,) = table.to_pylist()
    rows = FRAME[FRAME["symbol"] == "AAPL"]["time"].dt.tz_convert(NEW_YORK)
    assert bar["count"] == (rows.dt.date == start.date()).sum()
    assert 24 * 60 // 11 < bar["count"] <= 25 * 60 // 11 + 1
    assert str(bar["bucket"]) == "2014-11-02 00:00:00-04:00"
    assert bar["symbol"] == "AAPL"
    for keys in (["NONE"], []):
        assert (await store.bars("lab.ticks", keys, every=days(1), zone=NEW_YORK)).num_rows == 0


async def test_exact_bars_of_a_zone(store: AsyncTimescale) -> None:
    exact = await store.bars("lab.ticks", ["MSFT"], every=days(1), zone=NEW_YORK, exact=True)
    wanted = in_pandas(CUTS["days of New York"][3])
    assert exact.column("volume").to_pylist() == [
        Decimal(str(volume)) for volume in wanted[wanted["symbol"] == "MSFT"]["volume"]
    ]


async def test_measures_of_ones_own(store: AsyncTimescale) -> None:
    await store.refresh("lab.ticks", as_of=END + timedelta(days=60))
    spread = (Measure("best_bid", Aggregate.MAX, ("bid",)), Measure("ticks", Aggregate.COUNT))
    of_rows = await store.bars("lab.ticks", ["AAPL"], every=days(1), start=START, end=END, measures=spread)
    assert of_rows.column_names == ["bucket", "symbol", "best_bid", "ticks"]
    assert sum(bar["ticks"] for bar in of_rows.to_pylist()) == (FRAME["symbol"] == "AAPL").sum()
    some = (Measure("close", Aggregate.LAST, ("price",)),)
    told = await store.explain("lab.ticks", every=days(1), start=START, end=END, measures=some)
    assert told.level == "lab.ticks_1h"
    bars = await store.bars("lab.ticks", every=days(1), start=START, end=END, measures=some)
    assert bars.column_names == ["bucket", "symbol", "close"]
    with pytest.raises(ColumnError, match="nonsense"):
        await store.bars("lab.ticks", every=days(1), measures=[Measure("x", Aggregate.MAX, ("nonsense",))])
    with pytest.raises(InputError, match="two columns would be called symbol"):
        await store.bars("lab.ticks", every=days(1), measures=[Measure("symbol", Aggregate.COUNT)])
    with pytest.raises(ColumnError, match="no numbers"):
        await store.bars("lab.ticks", every=days(1), measures=[Measure("x", Aggregate.SUM, ("symbol",))])
    with pytest.raises(InputError, match="no measure"):
        await store.bars("lab.ticks", every=days(1), measures=[])


async def test_what_cannot_be_asked(store: AsyncTimescale) -> None:
    for asked, error, said in (
        ({"zone": "Mars/Olympus"}, InputError, "no time zone"),
        ({"origin": NAIVE}, NaiveTimeError, "origin"),
        ({"start": NAIVE}, NaiveTimeError, "no time zone"),
        ({"start": START, "end": START}, InputError, "before it begins"),
        ({"gaps": "nearest"}, InputError, "no way to fill gaps"),
        ({"zone": NEW_YORK, "start": moment("1000-01-01 00:00"), "end": END}, InputError, "too many"),
        (
            {"gaps": "null", "start": moment("0200-01-01 00:00"), "end": END, "every": minutes(1)},
            InputError,
            "too many",
        ),
    ):
        with pytest.raises(error, match=said):
            await store.bars("lab.ticks", **{"every": days(1), **asked})  # type: ignore[arg-type]  # what is not allowed
