"""The key store on a Redis Cluster: the id that a key is about stands in braces; all else is as elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import sleep

import pytest
import redis as driver

from own_servers import free_port, own_redis
from store_models import CATALOG, LIMITED, QUOTE, TEN_A_MINUTE, Quote
from storekeeper.clock import SystemClock
from storekeeper.settings import ClientPool
from storekeeper.span import minutes
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.redis.redis_async import AsyncRedis

QUOTED = Quote(price=Decimal("64.56"), volume=100, updated_at=datetime(2014, 6, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, which owns every slot."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    bus = ("--cluster-port", str(free_port()), "--cluster-announce-ip", "127.0.0.1")
    with own_redis(folder, "--cluster-enabled", "yes", *bus) as server:
        with driver.Redis(port=server.port) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                sleep(0.05)
        yield f"redis://127.0.0.1:{server.port}/0"


def test_keys_have_hash_tags(cluster_url: str) -> None:
    with Redis(cluster_url, prefix="p:", pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as redis:
        assert redis.key(LIMITED, user_id="u1", endpoint="e") == "p:ratelimit:{u1}:e"
        assert redis.key(QUOTE, symbol="A") == "p:stock:{A}:quote"
        assert redis.health().detail == "cluster"
        redis.put(QUOTE, QUOTED, symbol="A")
        assert redis.get(QUOTE, symbol="A") == QUOTED
        assert 0 < redis.client.pttl("p:stock:{A}:quote") <= 60_000
        assert redis.get_many(QUOTE, [{"symbol": "A"}, {"symbol": "B"}]) == [QUOTED, None]
        assert redis.add("watchers", "u", symbol="A") == 1
        assert redis.increment("visits", page="/") == 1
        assert redis.cached("k", minutes(1), lambda: 7, int) == 7
        hits: list[tuple[object, dict[str, object]]] = [
            (TEN_A_MINUTE, {"user_id": user, "endpoint": "e"}) for user in ("u", "v", "u")
        ]
        assert [answer.count for answer in redis.hit_many(hits)] == [1, 1, 2]  # type: ignore[arg-type]  # lists are invariant
        assert redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e").count == 3


async def test_the_async_store_is_no_other(cluster_url: str) -> None:
    async with AsyncRedis(cluster_url, prefix="q:", pool=ClientPool(), catalog=CATALOG, clock=SystemClock()) as redis:
        await redis.put(QUOTE, QUOTED, symbol="A")
        assert await redis.get(QUOTE, symbol="A") == QUOTED
        assert await redis.get_many(QUOTE, [{"symbol": "A"}, {"symbol": "B"}]) == [QUOTED, None]
        assert (await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")).count == 1
        both = await redis.hit_many([(TEN_A_MINUTE, {"user_id": user, "endpoint": "e"}) for user in ("u", "v")])
        assert [answer.count for answer in both] == [2, 1]
        assert (await redis.health()).ok
