"""One window of a rollup made anew: in one transaction, or by an engine that begins and ends transactions itself.

Where the engine refreshes alone, its locks are the session's. What had changed is read before it begins, and taken off
the notes once it has committed: cut off anywhere, the window is made anew by the next run, and what changes meanwhile
stays noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Range
from storekeeper.errors import CheckError
from storekeeper.ledger import series
from storekeeper.ledger.locks import refresh_lock, series_lock
from storekeeper.stores.sql.patience_async import patiently
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import executed, inspected
from storekeeper.stores.timescale.chunk_maker_async import AsyncChunkMaker, lacks_chunk
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.verifying import stored_rows

#: How long to wait for rows to be free, or for another refresh.
_REFRESHING: Final = {"lock_timeout": "30s"}
_ATTEMPTS: Final = 3


class AsyncRefresher:
    """Refreshes windows of rollups; `as_owner` makes a session that of the tables' owner."""

    def __init__(self, pool: AsyncPool, engine: Engine, chunks: AsyncChunkMaker, as_owner: Mapping[str, str]) -> None:
        self._pool = pool
        self._engine = engine
        self._chunks = chunks
        self._as_owner = as_owner

    async def refresh(self, level: Level, window: Range, wanted: Sequence[Range]) -> int:
        """Returns how many rows the rollup has in the window now. `wanted` ranges get chunks."""

        async def attempt() -> int:
            return await (self._alone(level, window) if self._engine.refreshes_alone else self._within(level, window))

        for left in range(_ATTEMPTS - 1, -1, -1):
            await self._chunks.ensure(level, wanted)
            try:
                return await patiently(attempt)
            except CheckError as error:
                if not left or not lacks_chunk(error):
                    raise
                # rows came to a new chunk since this was planned, or the rollup's own was dropped
                self._chunks.forget(level)
                wanted = [window]
        raise AssertionError("a loop that ends by return or raise has ended")

    async def _within(self, level: Level, window: Range) -> int:
        async with self._pool.begin(
            isolation="read committed", timeout=None, operation="refresh", target=level.name, local=_REFRESHING
        ) as connection:
            await connection.execute(refresh_lock(level.name).in_transaction())
            # shared with the writers: the source's watermark stands still until this commits
            await connection.execute(series_lock(level.source.name).in_transaction(shared=True))
            return await executed(connection, self._engine.refresh(level, window))

    async def _alone(self, level: Level, window: Range) -> int:
        async with self._pool.autocommit(
            operation="refresh", target=level.name, local={**self._as_owner, **_REFRESHING}
        ) as connection:
            await connection.execute(refresh_lock(level.name).in_session())
            # while these are shared neither watermark moves; and what is written to the rollup is seen by whoever
            # makes another of it
            await connection.execute(series_lock(level.source.name).in_session(shared=True))
            await connection.execute(series_lock(level.name).in_session(shared=True))
            noted = await inspected(connection, self._engine.noted(level, window))
            held = await self._above_watermarks(connection, level, window)
            if held is not None:
                await executed(connection, self._engine.refresh(level, held))
            await executed(connection, self._engine.settle(level, window, noted, held))
            return 0 if held is None else await inspected(connection, stored_rows(level, held))

    async def _above_watermarks(self, connection: AsyncConnection, level: Level, window: Range) -> Range | None:
        """The whole buckets of a window that are made of what is still there, to be kept where they are kept still."""
        lower = window.lower
        for one in (level.source, level):
            row = (await connection.execute(series.watermark(one.name))).first()
            if row is not None and row.dropped_before is not None:
                lower = max(lower, level.buckets.every.ceil(row.dropped_before))
        return Range(lower, window.upper) if lower < window.upper else None
