"""A document or key store belongs to the process that opened it, and a cancelled task leaves its connection usable."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from store_models import CATALOG, QUOTE
from storekeeper.clock import SystemClock
from storekeeper.errors import ForkedError
from storekeeper.settings import ClientPool
from storekeeper.stores.mongo.mongo import Mongo
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.redis.redis_async import AsyncRedis

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)


def forked(check: Callable[[], None]) -> int:
    """The exit status of a forked child that runs the check: 0 where it passes."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check()
            status = 0
        except BaseException:  # noqa: BLE001  # the child must end here, whatever it met
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_is_told_to_open_its_own_key_store(redis_url: str) -> None:
    with Redis(redis_url, prefix="", pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as redis:

        def check() -> None:
            with pytest.raises(ForkedError, match="after the fork"):
                redis.get(QUOTE, symbol="A")
            redis.close()

        assert forked(check) == 0
        assert redis.get(QUOTE, symbol="A") is None


@pytest.mark.filterwarnings("ignore:MongoClient opened before fork", "ignore:This process .* is multi-threaded")
def test_a_forked_child_is_told_to_open_its_own_document_store(mongo_url: str, mongo_prefix: str) -> None:
    with Mongo(mongo_url, prefix=mongo_prefix, pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as mongo:

        def check() -> None:
            with pytest.raises(ForkedError, match="after the fork"):
                mongo.find("market.logs", start=NOON, end=NOON + timedelta(1))
            mongo.close()

        assert forked(check) == 0
        assert mongo.health().ok


async def test_a_cancelled_call_does_not_mix_up_answers(redis_url: str) -> None:
    mark = "&" if "?" in redis_url else "?"
    url = f"{redis_url}{mark}pool_size=1"
    async with AsyncRedis(url, prefix="", pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as redis:
        for turn in range(40):
            await redis.client.set("totals:wanted", turn)
            task = asyncio.create_task(redis.value("totals", page="other"))
            for _ in range(turn % 8):  # the task gets a little further each time
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await redis.value("totals", page="wanted") == turn
