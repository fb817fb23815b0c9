"""Writers at the same time: they make the same chunks, and meet in the same rows."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores_async import opened

START = moment("2014-05-07 10:00")


def tick(minutes: float = 0, symbol: str = "AAPL", price: object = 100) -> dict[str, object]:
    return {"time": START + timedelta(minutes=minutes), "symbol": symbol, "price": price, "volume": 1}


async def test_writers_at_once_make_the_same_chunks(series_url: str, engine: Engine) -> None:
    async def write(symbol: str) -> None:
        async with opened(series_url, engine) as store:
            await store.append("lab.ticks", [tick(day * 1440, symbol) for day in range(40)])

    await asyncio.gather(*(write(f"S{number}") for number in range(4)))
    async with opened(series_url, engine) as store:
        assert (await store.raw("lab.ticks")).num_rows == 160
        assert len(await store.chunks("lab.ticks")) == 40


async def test_upserts_at_once_in_opposite_order(series_url: str, engine: Engine) -> None:
    rows = [tick(minute, price=minute + 1) for minute in range(2000)]

    async def write(given: list[dict[str, object]]) -> None:
        async with opened(series_url, engine) as store:
            for _ in range(3):
                await store.upsert("lab.ticks", given)

    await asyncio.gather(write(rows), write(rows[::-1]))
    async with opened(series_url, engine) as store:
        assert (await store.raw("lab.ticks")).num_rows == 2000
