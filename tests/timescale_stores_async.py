"""Opens a time-series store for a test, and closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from storekeeper.catalog import Catalog
from storekeeper.clock import SystemClock
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.timescale.cold import Cold
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.engine import Engine
from timescale_series import CATALOG, POOL


@asynccontextmanager
async def opened(
    url: str, engine: Engine, catalog: Catalog = CATALOG, *, archive: Cold | None = None
) -> AsyncIterator[AsyncTimescale]:
    pool = AsyncPool(
        url,
        pool=POOL,
        connect_timeout=5,
        transaction_timeout=30,
        slow_query=30,
        prepared=True,
        store="timescale",
        clock=SystemClock(),
    )
    await pool.open()
    try:
        yield AsyncTimescale(pool, catalog, engine, archive=archive)
    finally:
        await pool.close(5)


async def chunk_at(store: AsyncTimescale, dataset: str, moment: datetime) -> Chunk:
    """The chunk that holds this time."""
    (found,) = [one for one in await store.chunks(dataset) if one.range.lower <= moment < one.range.upper]
    return found
