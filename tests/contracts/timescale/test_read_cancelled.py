"""A read that is cancelled, at whichever await, leaves no connection borrowed, and none in the middle of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from suspensions import Suspensions, wait
from timescale_series import moment
from timescale_stores_async import opened

Work = Callable[[AsyncTimescale], Coroutine[Any, Any, None]]

ROWS = 12_000
FILL = f"""
INSERT INTO lab.ticks (time, symbol, price, volume)
SELECT timestamptz '2014-05-01 00:00Z' + n * interval '1 second', repeat('S', 30), 1, 1
FROM generate_series(1, {ROWS}) AS n
"""
BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'storekeeper' AND state <> 'idle'
"""


async def streamed(store: AsyncTimescale) -> None:
    async with store.stream("lab.ticks", batch_rows=2_000) as batches:
        async for _ in batches:
            pass


async def at_once(store: AsyncTimescale) -> None:
    assert (await store.raw("lab.ticks")).num_rows == ROWS


async def soon_idle(store: AsyncTimescale, psql: psycopg.Connection[tuple[object, ...]]) -> bool:
    for _ in range(500):
        if store.pool.statistics().checked_out == 0 and psql.execute(BUSY).fetchone() == (0,):
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize("again", [None, 1])
@pytest.mark.parametrize("work", [streamed, at_once])
async def test_a_cancelled_read_leaves_nothing_behind(
    series_url: str,
    engine: Engine,
    psql: psycopg.Connection[tuple[object, ...]],
    work: Work,
    again: int | None,
) -> None:
    async with opened(series_url, engine) as store:
        await store.make_chunks_ahead("lab.ticks", as_of=moment("2014-05-01 00:00"), count=1)
        psql.execute(FILL)
        cancelled = 0
        for first in range(1, 200):
            task = asyncio.create_task(wait(Suspensions(work(store), first, again)))
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
            assert await soon_idle(store, psql), f"cancelled at suspension {first}"
            if outcome is None and first > cancelled + 3:  # how often it has to wait varies
                break
            cancelled = first if outcome is not None else cancelled
        assert cancelled >= 4
        async with store.pool.begin() as connection:
            assert (await connection.execute(sa.text("SELECT 1"))).scalar_one() == 1
        assert (await store.raw("lab.ticks")).num_rows == ROWS
