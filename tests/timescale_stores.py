# Generated from timescale_stores_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Opens a time-series store for a test, and closes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from storekeeper.catalog import Catalog
from storekeeper.clock import SystemClock
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.timescale.cold import Cold
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.engine import Engine
from timescale_series import CATALOG, POOL


@contextmanager
def opened(url: str, engine: Engine, catalog: Catalog = CATALOG, *, archive: Cold | None = None) -> Iterator[Timescale]:
    pool = Pool(
        url,
        pool=POOL,
        connect_timeout=5,
        transaction_timeout=30,
        slow_query=30,
        prepared=True,
        store="timescale",
        clock=SystemClock(),
    )
    pool.open()
    try:
        yield Timescale(pool, catalog, engine, archive=archive)
    finally:
        pool.close(5)


def chunk_at(store: Timescale, dataset: str, moment: datetime) -> Chunk:
    """The chunk that holds this time."""
    (found,) = [one for one in store.chunks(dataset) if one.range.lower <= moment < one.range.upper]
    return found
