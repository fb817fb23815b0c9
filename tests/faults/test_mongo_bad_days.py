"""The document store when its server is stuck or dead."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from own_servers import OwnServer, own_mongo
from store_models import CATALOG, Log
from storekeeper.clock import SystemClock
from storekeeper.errors import StatementTimeoutError, StoreError, UnavailableError
from storekeeper.settings import ClientPool
from storekeeper.stores.mongo.mongo import Mongo
from storekeeper.stores.mongo.mongo_async import AsyncMongo

pytestmark = pytest.mark.faults
NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)
SHORT = ClientPool(min=1, size=2, connect=1, operation=2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    with own_mongo(tmp_path) as running:
        yield running


@pytest.fixture
def mongo(server: OwnServer) -> Iterator[Mongo]:
    url = f"mongodb://127.0.0.1:{server.port}/"
    with Mongo(url, prefix="t", pool=SHORT, catalog=CATALOG, clock=SystemClock()) as store:
        for wanted in store.wanted_collections():
            store.create_collection(wanted)
        yield store


def log(second: int) -> Log:
    return Log(timestamp=NOON + timedelta(seconds=second), level="info", service="s", message=str(second))


def count(mongo: Mongo) -> int:
    return mongo.count("market.logs", start=NOON, end=NOON + timedelta(days=1))


def test_what_was_acknowledged_outlives_a_crash_and_the_next_call_goes_on(mongo: Mongo, server: OwnServer) -> None:
    acknowledged = [0]

    def write() -> None:
        for second in range(100_000):
            try:
                mongo.insert("market.logs", [log(second)])
            except StoreError:
                return
            acknowledged[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    while acknowledged[0] < 20:
        time.sleep(0.01)
    server.kill()
    writer.join()
    begun = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        mongo.insert("market.logs", [log(0)])
    assert caught.value.retryable
    assert time.monotonic() - begun < 2, "a lost server is waited for as long as connecting may last"
    assert not mongo.health().ok
    server.start()
    assert acknowledged[0] <= count(mongo) <= acknowledged[0] + 1


def test_a_stuck_server_is_waited_for_no_longer_than_told(mongo: Mongo, server: OwnServer) -> None:
    count(mongo)
    server.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises((StatementTimeoutError, UnavailableError)):
            count(mongo)
        assert time.monotonic() - begun < 5
        url = f"mongodb://127.0.0.1:{server.port}/"
        other = Mongo(url, prefix="t", pool=SHORT, catalog=CATALOG, clock=SystemClock())
        with pytest.raises(UnavailableError):
            other.open()
    finally:
        server.signal(signal.SIGCONT)
    assert count(mongo) == 0


async def test_the_async_store_meets_the_same(mongo: Mongo, server: OwnServer) -> None:
    url = f"mongodb://127.0.0.1:{server.port}/"
    async with AsyncMongo(url, prefix="t", pool=SHORT, catalog=CATALOG, clock=SystemClock()) as store:
        await store.insert("market.logs", [log(0)])
        server.kill()
        with pytest.raises(UnavailableError):
            await store.insert("market.logs", [log(1)])
        server.start()
        assert await store.count("market.logs", start=NOON, end=NOON + timedelta(days=1)) == 1
