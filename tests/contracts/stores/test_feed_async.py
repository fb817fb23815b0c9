"""Quotes kept as new as the rows that are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from store_models import CATALOG, QUOTE, Quote, Side
from storekeeper.clock import SystemClock
from storekeeper.errors import ColumnError, InputError
from storekeeper.platform.feed_async import AsyncFeed
from storekeeper.settings import ClientPool
from storekeeper.stores.redis.redis_async import AsyncRedis

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[AsyncRedis]:
    async with AsyncRedis(redis_url, prefix="", pool=ClientPool(connect=2), catalog=CATALOG, clock=SystemClock()) as it:
        yield it


def quote(seconds: float, price: int = 1) -> Quote:
    return Quote(price=Decimal(price), volume=1, side=Side.SELL, updated_at=NOON + timedelta(seconds=seconds))


async def updated(redis: AsyncRedis, symbol: str) -> float | None:
    found: Any = await redis.get(QUOTE, symbol=symbol)
    return None if found is None else (found.updated_at - NOON).total_seconds()


async def test_an_older_value_never_takes_the_place_of_a_newer_one(redis: AsyncRedis) -> None:
    moments = [1, 0.5, 1.25, 1.2, 1.000001, 2, 2, 1.999999]
    written = [(await redis.put_newer(QUOTE, [(quote(at), {"symbol": "A"})], by="updated_at"))[0] for at in moments]
    assert written == [True, False, True, False, False, True, False, False]
    assert await updated(redis, "A") == 2
    await redis.client.script_flush()  # as by a restart
    assert await redis.put_newer(
        QUOTE, [(quote(1), {"symbol": "A"}), (quote(1), {"symbol": "B"})], by="updated_at"
    ) == [False, True]
    assert await redis.client.pttl(redis.key(QUOTE, symbol="B")) > 0
    assert await redis.put_newer(QUOTE, [], by="updated_at") == []
    with pytest.raises(InputError, match="no time"):
        await redis.put_newer(QUOTE, [(quote(3), {"symbol": "A"})], by="price")


async def test_the_newest_row_of_each_key_is_fed(redis: AsyncRedis) -> None:
    feed = AsyncFeed(
        redis,
        QUOTE,
        key={"symbol": "symbol"},
        fields={"price": "price", "volume": "volume", "side": "side", "updated_at": "time"},
        newest_by="updated_at",
    )
    rows = pa.table(
        {
            "time": pa.array([NOON + timedelta(seconds=at) for at in (1, 3, 2, 5)], pa.timestamp("us", tz="UTC")),
            "symbol": ["A", "A", "A", "B"],
            "price": pa.array([Decimal(at) for at in (1, 3, 2, 5)], pa.decimal128(18, 6)),
            "volume": [1, 2, 3, 4],
            "side": ["sell"] * 4,
        }
    )
    await feed(rows)
    assert (await updated(redis, "A"), await updated(redis, "B")) == (3, 5)
    await feed(rows.slice(0, 1))
    found: Any = await redis.get(QUOTE, symbol="A")
    assert (found.price, found.volume) == (3, 2)
    await feed(rows.slice(0, 0))
    with pytest.raises(ColumnError, match="symbol is missing"):
        await feed(rows.drop_columns(["symbol"]))
    with pytest.raises(ColumnError):
        AsyncFeed(redis, QUOTE, key={"symbol": "symbol"}, fields={"price": "price"}, newest_by="updated_at")
