"""A task that is cancelled, at whichever await, leaves no connection in a transaction and none borrowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.clock import SystemClock
from storekeeper.settings import SqlPool
from storekeeper.stores.sql.pool_async import AsyncPool
from suspensions import Suspensions, wait

pytestmark = pytest.mark.faults

Work = Callable[[AsyncPool], Coroutine[Any, Any, None]]


async def transaction(pool: AsyncPool) -> None:
    async with pool.begin(local={"lock_timeout": "1s"}) as connection:
        await connection.execute(sa.text("INSERT INTO public.things VALUES (1)"))
        await connection.execute(sa.text("SELECT pg_sleep(0.001)"))


async def rolled_back(pool: AsyncPool) -> None:
    try:
        await transaction_with(pool, LookupError())
    except LookupError:
        return


async def transaction_with(pool: AsyncPool, error: Exception) -> None:
    async with pool.begin() as connection:
        await connection.execute(sa.text("INSERT INTO public.things VALUES (1)"))
        raise error


async def copied(pool: AsyncPool) -> None:
    async with pool.begin() as connection, pool.copy(connection, "COPY public.things FROM STDIN") as copy:
        for _ in range(3):
            await copy.write(b"1\n")


async def outside(pool: AsyncPool) -> None:
    async with pool.autocommit(local={"lock_timeout": "1s"}) as connection:
        await connection.execute(sa.text("SELECT pg_advisory_lock(5, 5)"))


async def run(pool: AsyncPool) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("INSERT INTO public.things VALUES (1)"))

    await pool.run(work)


async def made_anew(pool: AsyncPool) -> None:
    """With every connection gone, so that the transaction starts by connecting."""
    await pool.engine.dispose()
    await transaction(pool)


async def in_line(pool: AsyncPool) -> None:
    """Where others hold all connections, and give them back meanwhile."""
    holders = [asyncio.create_task(transaction(pool)) for _ in range(3)]
    await asyncio.sleep(0)
    try:
        await transaction(pool)
    finally:
        await asyncio.gather(*holders)


def activity(url: str, lock: int) -> list[tuple[Any, ...]]:
    """The pool's sessions that are in a transaction or hold an advisory lock."""
    with psycopg.connect(url, autocommit=True) as admin:
        return admin.execute(
            "SELECT pid, state, query FROM pg_stat_activity activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'storekeeper'"
            " AND (state <> 'idle' OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            " AND pg_locks.pid = activity.pid))",
            (lock,),
        ).fetchall()


async def soon(condition: Callable[[], bool]) -> bool:
    for _ in range(200):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return condition()


@pytest.mark.parametrize("again", [None, 1])
@pytest.mark.parametrize("work", [transaction, rolled_back, copied, outside, run, made_anew, in_line])
async def test_a_cancelled_task_leaves_nothing_behind(postgres_url: str, work: Work, again: int | None) -> None:
    pool = AsyncPool(
        postgres_url,
        pool=SqlPool(min=2, size=2, overflow=0),
        connect_timeout=5,
        transaction_timeout=30,
        slow_query=1,
        prepared=True,
        store="postgres",
        clock=SystemClock(),
    )
    await pool.open()
    async with pool.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE public.things (id int)"))

    cancelled = 0
    for first in range(1, 500):
        task = asyncio.create_task(wait(Suspensions(work(pool), first, again)))
        ((outcome),) = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        assert await soon(lambda: pool.statistics().checked_out == 0), f"borrowed, cancelled at suspension {first}"
        assert await soon(lambda: not activity(postgres_url, 5)), activity(postgres_url, 5)
        if outcome is None and first > cancelled + 20:
            break
        cancelled = first if outcome is not None else cancelled
    assert cancelled >= 5  # a transaction is at least its BEGIN, its statements and its COMMIT

    borrowed: list[Awaitable[None]] = [transaction(pool) for _ in range(4)]
    await asyncio.gather(*borrowed)  # all of the pool is there, and works
    await pool.close(5)
