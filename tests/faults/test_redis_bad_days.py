"""The key store when its server is full, read-only, loading, stuck, or dead."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from shutil import rmtree

import pytest
import redis as driver

from own_servers import OwnServer, own_redis
from store_models import CATALOG, QUOTE, TEN_A_MINUTE, Quote
from storekeeper.clock import SystemClock
from storekeeper.errors import DiskFullError, PoolTimeoutError, StatementTimeoutError, UnavailableError
from storekeeper.settings import ClientPool
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.redis.redis_async import AsyncRedis

pytestmark = pytest.mark.faults
QUOTED = Quote(price=Decimal("64.56"), volume=100, updated_at=datetime(2014, 6, 1, tzinfo=UTC))
SHORT = ClientPool(min=1, size=2, connect=1, operation=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    with own_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as running:
        yield running


@pytest.fixture
def redis(server: OwnServer) -> Iterator[Redis]:
    with made(server) as store:
        yield store


def made(server: OwnServer, pool: ClientPool = SHORT) -> Redis:
    return Redis(f"redis://127.0.0.1:{server.port}/0", prefix="", pool=pool, catalog=CATALOG, clock=SystemClock())


def test_a_full_memory_refuses_and_leaves_what_was_there(redis: Redis) -> None:
    redis.put(QUOTE, QUOTED, symbol="A")
    redis.client.config_set("maxmemory", 1)
    with pytest.raises(DiskFullError, match="maxmemory"):
        redis.put(QUOTE, QUOTED, symbol="A")
    with pytest.raises(DiskFullError):
        redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    assert redis.get(QUOTE, symbol="A") == QUOTED
    assert redis.client.pttl("stock:A:quote") > 0


def test_a_replica_refuses_writes(redis: Redis) -> None:
    redis.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    for write in (
        lambda: redis.put(QUOTE, QUOTED, symbol="A"),
        lambda: redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e"),
        lambda: redis.hit_many([(TEN_A_MINUTE, {"user_id": "u", "endpoint": "e"})] * 2),
    ):
        with pytest.raises(UnavailableError, match="primary"):
            write()


def test_a_server_that_cannot_save_refuses_writes(redis: Redis, tmp_path: Path) -> None:
    redis.client.config_set("appendonly", "no")
    redis.client.config_set("save", "3600 1")
    rmtree(tmp_path / "appendonlydir")
    (tmp_path / "dump.rdb").mkdir()  # a snapshot cannot take the place of a folder
    redis.client.set("x", 1)
    redis.client.bgsave()
    while redis.client.info("persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.02)
    with pytest.raises(DiskFullError, match="MISCONF"):
        redis.put(QUOTE, QUOTED, symbol="A")
    with pytest.raises(DiskFullError, match="MISCONF"):
        redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    assert redis.get(QUOTE, symbol="A") is None


def test_a_server_that_loads_its_data_is_unavailable_until_it_has(tmp_path: Path) -> None:
    slow = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with own_redis(tmp_path) as server, driver.Redis(port=server.port) as client:
        client.mset({f"key:{number}": "x" * 100 for number in range(1000)})
        client.save()
    with own_redis(tmp_path, *slow) as server:
        with pytest.raises(UnavailableError, match="reads its data"), made(server):
            pass
        deadline = time.monotonic() + 30
        while True:
            try:
                with made(server) as redis:
                    assert redis.client.dbsize() == 1000
                break
            except UnavailableError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_after_a_crash_the_next_call_goes_on_and_nothing_written_is_lost(redis: Redis, server: OwnServer) -> None:
    for _ in range(4):
        redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    redis.put(QUOTE, QUOTED, symbol="A")
    server.kill()
    with pytest.raises(UnavailableError) as caught:
        redis.get(QUOTE, symbol="A")
    assert caught.value.retryable
    assert not redis.health().ok
    server.start()
    assert redis.get(QUOTE, symbol="A") == QUOTED  # over a connection that was seen to be dead
    assert redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e").count == 5  # of a server that knows no script


def test_a_stuck_server_is_waited_for_no_longer_than_told(redis: Redis, server: OwnServer) -> None:
    server.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(StatementTimeoutError):
            redis.get(QUOTE, symbol="A")
        with pytest.raises(UnavailableError, match="in time"), made(server):
            pass
        assert time.monotonic() - begun < 8
    finally:
        server.signal(signal.SIGCONT)
    assert redis.get(QUOTE, symbol="A") is None


def test_a_full_pool_is_waited_for_no_longer_than_told(server: OwnServer) -> None:
    with made(server, ClientPool(min=1, size=1, connect=1, operation=2)) as redis:
        holder = threading.Thread(target=redis.client.blpop, args=("nothing", 1.0))
        holder.start()
        time.sleep(0.1)
        redis._connection.client.connection_pool.timeout = 0.2
        with pytest.raises(PoolTimeoutError, match="pool_size"):
            redis.get(QUOTE, symbol="A")
        holder.join()
        assert redis.get(QUOTE, symbol="A") is None


async def test_the_async_store_meets_the_same(server: OwnServer) -> None:
    url = f"redis://127.0.0.1:{server.port}/0"
    async with AsyncRedis(url, prefix="", pool=SHORT, catalog=CATALOG, clock=SystemClock()) as redis:
        await redis.client.config_set("maxmemory", 1)
        with pytest.raises(DiskFullError):
            await redis.put(QUOTE, QUOTED, symbol="A")
        await redis.client.config_set("maxmemory", 0)
        server.signal(signal.SIGSTOP)
        with pytest.raises(StatementTimeoutError):
            await redis.get(QUOTE, symbol="A")
        server.signal(signal.SIGCONT)
        held = [asyncio.create_task(redis.client.blpop("nothing", 0.5)) for _ in range(2)]
        await asyncio.sleep(0.05)
        redis._connection.client.connection_pool.timeout = 0.1
        with pytest.raises(PoolTimeoutError):
            await redis.get(QUOTE, symbol="A")
        await asyncio.gather(*held)
        server.kill()
        with pytest.raises(UnavailableError):
            await redis.get(QUOTE, symbol="A")
        server.start()
        assert await redis.get(QUOTE, symbol="A") is None
