# Generated from test_feed_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Quotes kept as new as the rows that are written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from store_models import CATALOG, QUOTE, Quote, Side
from storekeeper.clock import SystemClock
from storekeeper.errors import ColumnError, InputError
from storekeeper.platform.feed import Feed
from storekeeper.settings import ClientPool
from storekeeper.stores.redis.redis import Redis

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis(redis_url, prefix="", pool=ClientPool(connect=2), catalog=CATALOG, clock=SystemClock()) as it:
        yield it


def quote(seconds: float, price: int = 1) -> Quote:
    return Quote(price=Decimal(price), volume=1, side=Side.SELL, updated_at=NOON + timedelta(seconds=seconds))


def updated(redis: Redis, symbol: str) -> float | None:
    found: Any = redis.get(QUOTE, symbol=symbol)
    return None if found is None else (found.updated_at - NOON).total_seconds()


def test_an_older_value_never_takes_the_place_of_a_newer_one(redis: Redis) -> None:
    moments = [1, 0.5, 1.25, 1.2, 1.000001, 2, 2, 1.999999]
    written = [(redis.put_newer(QUOTE, [(quote(at), {"symbol": "A"})], by="updated_at"))[0] for at in moments]
    assert written == [True, False, True, False, False, True, False, False]
    assert updated(redis, "A") == 2
    redis.client.script_flush()  # as by a restart
    assert redis.put_newer(QUOTE, [(quote(1), {"symbol": "A"}), (quote(1), {"symbol": "B"})], by="updated_at") == [
        False,
        True,
    ]
    assert redis.client.pttl(redis.key(QUOTE, symbol="B")) > 0
    assert redis.put_newer(QUOTE, [], by="updated_at") == []
    with pytest.raises(InputError, match="no time"):
        redis.put_newer(QUOTE, [(quote(3), {"symbol": "A"})], by="price")


def test_the_newest_row_of_each_key_is_fed(redis: Redis) -> None:
    feed = Feed(
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
    feed(rows)
    assert (updated(redis, "A"), updated(redis, "B")) == (3, 5)
    feed(rows.slice(0, 1))
    found: Any = redis.get(QUOTE, symbol="A")
    assert (found.price, found.volume) == (3, 2)
    feed(rows.slice(0, 0))
    with pytest.raises(ColumnError, match="symbol is missing"):
        feed(rows.drop_columns(["symbol"]))
    with pytest.raises(ColumnError):
        Feed(redis, QUOTE, key={"symbol": "symbol"}, fields={"price": "price"}, newest_by="updated_at")
