"""close() waits for what is running, then cuts; a pool is its process's and its loop's own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper import errors
from storekeeper.clock import SystemClock
from storekeeper.settings import SqlPool
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.pool_async import AsyncPool

pytestmark = pytest.mark.faults

OPTIONS: dict[str, Any] = {
    "pool": SqlPool(min=2, size=4, overflow=0),
    "connect_timeout": 5,
    "transaction_timeout": 30,
    "slow_query": 30,
    "prepared": True,
    "store": "postgres",
    "clock": SystemClock(),
}


def left_open(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def none_left(url: str) -> bool:
    for _ in range(100):
        if left_open(url) == 0:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_close_waits_for_running_work(postgres_url: str) -> None:
    pool = AsyncPool(postgres_url, **OPTIONS)
    await pool.open()

    async def work() -> str:
        async with pool.begin() as connection:
            return str((await connection.execute(sa.text("SELECT 'done' FROM pg_sleep(0.4)"))).scalar_one())

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    await pool.close(5)
    assert task.done()
    assert task.result() == "done"
    assert await none_left(postgres_url)


@pytest.mark.parametrize("statement", ["SELECT pg_sleep(20)", None])
async def test_close_cuts_what_does_not_end_in_time(postgres_url: str, statement: str | None) -> None:
    pool = AsyncPool(postgres_url, **OPTIONS)
    await pool.open()
    going_on = asyncio.Event()

    async def work() -> None:
        async with pool.begin() as connection:
            await connection.execute(sa.text(statement or "SELECT 1"))
            await going_on.wait()
            await connection.execute(sa.text("SELECT 1"))

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await pool.close(0.3)
    assert time.monotonic() - started < 3
    assert await none_left(postgres_url)
    going_on.set()
    with pytest.raises(errors.StoreError):
        await task


async def test_a_connection_that_comes_back_after_close_is_closed(postgres_url: str) -> None:
    pool = AsyncPool(postgres_url, **OPTIONS)
    await pool.open()
    async with pool.begin() as connection:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.close(10), 0.1)  # gives up before anything was cut
        assert (await connection.execute(sa.text("SELECT 1"))).scalar_one() == 1
    assert await none_left(postgres_url)


def test_a_thread_is_cut_too(postgres_url: str) -> None:
    pool = Pool(postgres_url, **OPTIONS)
    pool.open()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with pool.begin() as connection:
                connection.execute(sa.text("SELECT pg_sleep(20)"))
        except errors.StoreError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    started = time.monotonic()
    pool.close(0.2)
    thread.join(5)
    assert time.monotonic() - started < 4
    assert len(raised) == 1
    assert asyncio.run(none_left(postgres_url))


@pytest.fixture
def pool(postgres_url: str) -> Iterator[Pool]:
    pool = Pool(postgres_url, **OPTIONS)
    pool.open()
    yield pool
    pool.close(5)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told_and_harms_nothing(pool: Pool) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"nothing was raised"
        try:
            try:
                with pool.begin():
                    pass
            except errors.ForkedError as error:
                said = f"{error}".encode()
            pool.close(1)
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        heard = pipe.read().decode()
    os.waitpid(child, 0)
    assert f"opened in process {os.getpid()}" in heard
    assert "HINT" in heard
    for _ in range(4):
        with pool.begin() as connection:
            assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    assert pool.statistics().opened == 2  # the parent's connections outlived the child


def test_another_loop_is_told(postgres_url: str) -> None:
    pool = AsyncPool(postgres_url, **OPTIONS)

    async def use() -> None:
        async with pool.begin():
            pass

    with asyncio.Runner() as first:
        first.run(pool.open())
        with asyncio.Runner() as second, pytest.raises(errors.ForkedError, match="event loop"):
            second.run(use())
        first.run(pool.close(1))
