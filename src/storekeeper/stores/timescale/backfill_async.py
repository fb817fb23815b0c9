"""Sealed days in one call: rows in order of time, then exactly the chunks that they filled into the columnstore."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias, cast

from storekeeper.catalog import Hypertable, Range
from storekeeper.errors import StorekeeperError
from storekeeper.stores.sql.intake import Rows
from storekeeper.stores.sql.intake.rows import ArrowStream
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import inspected
from storekeeper.stores.timescale.append_async import AsyncAppender
from storekeeper.stores.timescale.lifecycle_async import AsyncLifecycle
from storekeeper.stores.timescale.together import AsyncTogether
from storekeeper.stores.timescale.values import Appended, Backfilled, OnConflict
from storekeeper.timescale.adjusting import wants_capture, wants_columnstore
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.incoming import has_direct
from storekeeper.timescale.levels import Level

#: Rows at once, or one frame of them after another.
ManyRows: TypeAlias = Rows | Iterable[Rows]


class AsyncBackfiller:
    """Takes sealed days into hypertables."""

    def __init__(self, pool: AsyncPool, appender: AsyncAppender, engine: Engine, lifecycle: AsyncLifecycle) -> None:
        self._pool = pool
        self._appender = appender
        self._engine = engine
        self._lifecycle = lifecycle

    async def backfill(
        self,
        hypertable: Hypertable,
        rows: ManyRows,
        *,
        round_to: Mapping[str, int] | None,
        on_conflict: OnConflict,
        timeout: float | None,  # the server's, of each transaction
        connections: int,
    ) -> Backfilled:
        """A transaction for each frame, then one for each chunk. Errors: as AsyncTimescale.backfill."""
        frames, done = frames_of(rows), Appended(0, 0)
        straight = await self._is_straight(hypertable)
        touched: set[Range] = set()
        while (frame := await to_thread(next, frames, None)) is not None:
            try:
                written, _, chunks = await self._appender.put(
                    hypertable,
                    frame,
                    round_to=round_to,
                    on_conflict=on_conflict,
                    timeout=timeout,
                    connections=connections,
                    straight=straight,
                    first_row=done.rows,
                )
            except StorekeeperError as error:
                error.add_note(f"{done.rows} rows of the frames before are in, and not compressed")
                raise
            done += written
            touched.update(chunks)
        filled = tuple(sorted(touched))
        if not self._engine.columnstore:
            return Backfilled(done, filled, (), f"appended only: {self._engine.label} has no columnstore")
        if not wants_columnstore(hypertable):
            return Backfilled(done, filled, (), "appended only: it is declared without a columnstore")
        # those that were written straight are to the server chunks to which rows came since they were compressed
        await self._compress(hypertable, filled, connections)
        return Backfilled(done, filled, filled)

    async def _compress(self, hypertable: Hypertable, chunks: Sequence[Range], connections: int) -> None:
        shares = [share for place in range(connections) if (share := chunks[place::connections])]
        compress = self._lifecycle.compress_within
        if len(shares) > 1:
            await AsyncTogether(len(shares)).run([partial(compress, hypertable, share) for share in shares])
        elif shares:
            await compress(hypertable, shares[0])

    async def _is_straight(self, hypertable: Hypertable) -> bool:
        """Whether the engine can, and nothing stands on the table for which the server must see single rows."""
        unique = any(index.unique for index in hypertable.table.indexes) or bool(hypertable.table.primary_key.columns)
        watched = unique or wants_capture(Level(hypertable, 0))
        if watched or not self._engine.columnstore or not wants_columnstore(hypertable):
            return False
        async with self._pool.begin(operation="inspect", target=hypertable.name) as connection:
            return await inspected(connection, has_direct())


def frames_of(rows: ManyRows) -> Iterator[Rows]:
    """The rows as one frame, or the frames that there are, one after another."""
    if isinstance(rows, (ArrowStream, str, bytes, Mapping)) or hasattr(type(rows), "columns"):  # a frame, or none
        return iter((cast("Rows", rows),))
    items = iter(cast("Iterable[Any]", rows))
    first = next(items, None)
    if first is None:
        return iter(())
    every = chain((first,), items)
    return iter((cast("Rows", list(every)),)) if isinstance(first, Mapping) else every
