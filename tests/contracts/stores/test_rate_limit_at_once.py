"""A limit holds however many ask at the same moment: tasks, threads, and both the sync and the async store."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from store_models import CATALOG, TEN_A_MINUTE
from storekeeper.clock import SystemClock
from storekeeper.settings import ClientPool
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.redis.redis_async import AsyncRedis


async def test_of_fifty_tasks_ten_are_let_through(redis_url: str) -> None:
    async with AsyncRedis(redis_url, prefix="", pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as redis:
        answers = await asyncio.gather(*(redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e") for _ in range(50)))
    assert sum(answer.allowed for answer in answers) == 10
    assert sorted(answer.count for answer in answers if answer.allowed) == list(range(1, 11))


def test_of_fifty_threads_ten_are_let_through(redis_url: str) -> None:
    with Redis(redis_url, prefix="", pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as redis:

        def ask(_: int) -> bool:
            return redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e").allowed

        with ThreadPoolExecutor(50) as threads:
            assert sum(threads.map(ask, range(50))) == 10
        assert redis.client.get("ratelimit:u:e") == b"10"
