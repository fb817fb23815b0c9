"""The paths that a day takes through the platform: a service's ticks, an analyst's question, a request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from command_line import CommandLine
from storekeeper import AsyncPlatform, connect_async, days, minutes
from storekeeper.domains.invest.entities import Portfolio, User
from storekeeper.domains.invest.keys import REQUESTS, LiveSession, Quote
from storekeeper.errors import ConstraintError, ValueFitError
from timescale_series import moment

PRICES = "invest.intraday_prices"
SYMBOLS = tuple(f"S{number}@hall" for number in range(10))
START, END = moment("2024-01-01 00:00"), moment("2024-03-01 00:00")


@pytest.fixture
async def platform(commands: CommandLine) -> AsyncIterator[AsyncPlatform]:
    """All four stores, as the settings name them."""
    settings: dict[str, Any] = {
        name.removeprefix("STOREKEEPER_").lower(): value for name, value in commands.settings.items()
    }
    async with connect_async(root=commands.folder, **settings) as platform:
        yield platform


def ticks(start: datetime, end: datetime, every: timedelta) -> pd.DataFrame:
    """A price of each symbol every so often, exact in binary and decimal."""
    times = pd.date_range(start, end, freq=every, inclusive="left")
    frame = pd.MultiIndex.from_product([times, SYMBOLS], names=["time", "symbol"]).to_frame(index=False)
    frame["price"] = 100 + (frame.index * 37 % 89) / 8
    frame["volume"] = 1.0 + frame.index % 5
    return frame


async def test_a_service_appends_ticks_and_shows_the_newest(platform: AsyncPlatform) -> None:
    frame = ticks(START, START + timedelta(hours=2), timedelta(minutes=1))
    done = await platform.timescale.append(PRICES, frame)
    assert (done.rows, done.inserted) == (1200, 1200)
    for row in (await platform.timescale.latest(PRICES, SYMBOLS, exact=True)).to_pylist():
        quote = {"price": row["price"], "volume": row["volume"], "updated_at": row["time"]}
        await platform.redis.put("stock", quote, symbol=row["symbol"])
    quotes = await platform.redis.get_many("stock", [{"symbol": symbol} for symbol in SYMBOLS])
    newest = frame[frame["time"] == frame["time"].max()]
    assert quotes == [
        Quote(price=Decimal(price), volume=Decimal(volume), updated_at=START + timedelta(minutes=119))
        for price, volume in zip(newest["price"], newest["volume"], strict=True)
    ]
    wrong = frame.tail(3).assign(time=frame["time"].max() + timedelta(minutes=1), price=[101.0, 102.0, 1e15])
    with pytest.raises(ValueFitError, match="row 2, column price"):
        await platform.timescale.append(PRICES, wrong)
    assert (await platform.timescale.raw(PRICES)).num_rows == 1200


async def test_an_analyst_asks_for_bars_of_ten_symbols(platform: AsyncPlatform) -> None:
    """Old days are in rollups alone, the newest edge in rows alone: one answer, as all rows together would give it."""
    history = ticks(START, END, timedelta(minutes=30))
    edge = ticks(END, END + timedelta(minutes=20), timedelta(minutes=1))
    await platform.timescale.append(PRICES, history)
    await platform.timescale.refresh(PRICES, as_of=END)
    await platform.timescale.drop_chunks(PRICES, as_of=END)
    await platform.timescale.append(PRICES, edge)
    assert (await platform.timescale.raw(PRICES, end=END - timedelta(days=31))).num_rows == 0
    bars = await platform.timescale.bars(PRICES, SYMBOLS, every=minutes(5), start=START, end=END + timedelta(hours=1))
    assert isinstance(bars, pa.Table)
    everything = pd.concat([history, edge])
    everything["bucket"] = everything["time"].dt.floor("5min")
    wanted = everything.groupby(["bucket", "symbol"], as_index=False).agg(
        open=("price", "first"), high=("price", "max"), low=("price", "min"), close=("price", "last"),
        volume=("volume", "sum"), count=("price", "size"),
    )  # fmt: skip
    assert bars.num_rows == len(wanted) == (60 * 48 + 4) * 10
    found = bars.select(wanted.columns.tolist()).to_pandas()
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, check_exact=True)
    daily = await platform.timescale.bars(PRICES, SYMBOLS[:1], every=days(1), start=START, end=END)
    assert daily.column("count").to_pylist() == [48] * 60


async def test_a_request_is_served(platform: AsyncPlatform) -> None:
    """Who is it, may he, what has he: each one round trip."""
    async with platform.postgres.session() as session:
        user = User(email="ada@example.org", password_hash="$2b$12$" + 53 * "x", first_name="Ada", last_name="L")
        session.add(user)
        await session.flush()
        session.add(Portfolio(user_id=user.id, name="Engines", initial_value=Decimal("12.50")))
    live = {"user_id": user.id, "refresh_token": 64 * "0", "device_info": {}, "created_at": platform.clock.now()}
    await platform.redis.put("session", live, session_id="s1")
    known = await platform.redis.get("session", session_id="s1")
    assert isinstance(known, LiveSession)
    assert await platform.redis.get("session", session_id="s2") is None
    answers = [
        await platform.redis.hit(REQUESTS, user_id=known.user_id, endpoint="portfolio")
        for _ in range(REQUESTS.limit + 2)
    ]
    assert [answer.allowed for answer in answers] == [True] * REQUESTS.limit + [False] * 2
    assert (await platform.redis.hit(REQUESTS, user_id=uuid4(), endpoint="portfolio")).allowed
    async with platform.postgres.session() as session:
        found = await session.get(User, known.user_id)
        assert found is not None
        owned = (await session.scalars(sa.select(Portfolio).where(Portfolio.user_id == found.id))).all()
    assert [(portfolio.name, portfolio.currency, portfolio.initial_value) for portfolio in owned] == [
        ("Engines", "USD", Decimal("12.50"))
    ]


async def test_what_the_schema_forbids_leaves_nothing(platform: AsyncPlatform) -> None:
    with pytest.raises(ConstraintError) as refused:
        async with platform.postgres.session() as session:
            session.add(User(email="eve@example.org", password_hash="x", first_name="Eve", last_name="M"))
            await session.flush()
            session.add(Portfolio(user_id=uuid4(), name="of nobody"))
    assert refused.value.constraint == "portfolios_user_id_fkey"
    async with platform.postgres.session() as session:
        assert (await session.scalars(sa.select(User))).all() == []


async def test_every_store_says_how_it_is(platform: AsyncPlatform) -> None:
    health = await platform.health()
    assert [(answer.store, answer.ok) for answer in health] == [
        (store, True) for store in ("postgres", "timescale", "mongo", "redis")
    ]
