"""Makes the chunks that rows need, before they come: each at most once, whoever else makes the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Range
from storekeeper.catalog.ranges import merged
from storekeeper.errors import BelowWatermarkError, CheckError, ConflictError, NotMigratedError, StoreError
from storekeeper.ledger import archives, series
from storekeeper.ledger.locks import chunks_lock
from storekeeper.stores.sql.failures import sqlstate_of
from storekeeper.stores.sql.patience_async import patiently
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import executed, inspected
from storekeeper.timescale.chunks import Chunk, missing, uncovered
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level

#: Chunks made in one transaction: each takes a handful of locks, and the server's table of locks is finite.
_AT_ONCE: Final = 32
_LOCAL: Final = {"lock_timeout": "2s"}
#: SQLSTATE of a table whose name is taken.
_IS_THERE: Final = "42P07"


class AsyncChunkMaker:
    """Makes chunks, and remembers which are there so that most appends ask nothing.

    What it remembers may be wrong where retention dropped a chunk since: whoever meets a row without a chunk says
    `forget` and tries again.
    """

    def __init__(self, pool: AsyncPool, engine: Engine, *, owner: str | None = None, service: bool = False) -> None:
        self._pool = pool
        self._engine = engine
        self._service = service
        self._local = _LOCAL if owner is None else {"role": owner, **_LOCAL}
        self._known: dict[str, tuple[Range, ...]] = {}

    @property
    def engine(self) -> Engine:
        """What makes them."""
        return self._engine

    def forget(self, level: Level) -> None:
        self._known.pop(level.name, None)

    async def ensure(self, level: Level, ranges: Iterable[Range], *, earliest: datetime | None = None) -> list[Range]:
        """Makes what is missing of the chunks that these ranges touch, and returns it.

        Short transactions of their own: neither readers nor writers of the table wait for them. With `earliest`, the
        time of the oldest row to come, BelowWatermarkError is raised where that is too old.
        """
        known = self._known.get(level.name, ())
        wanted = [piece for piece in missing(ranges, level.chunk, ()) if uncovered([piece], known)]
        made: list[Range] = []
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]

            async def attempt(some: Sequence[Range] = some) -> list[Range]:
                try:
                    async with self._pool.begin(
                        isolation="read committed",
                        timeout=None,
                        operation="make chunks",
                        target=level.name,
                        local=self._local,
                    ) as connection:
                        return await self._make(connection, level, some, earliest)
                except StoreError as error:
                    if sqlstate_of(error) == _IS_THERE:
                        raise _being_detached(level, error) from error
                    raise

            made += await patiently(attempt)
        return made

    async def _make(
        self, connection: AsyncConnection, level: Level, wanted: Sequence[Range], earliest: datetime | None
    ) -> list[Range]:
        await connection.execute(chunks_lock(level.name).in_transaction())
        # asked for under the lock, so that what another has just made is seen
        existing = await inspected(connection, self._engine.chunks(level))
        there = merged(chunk.range for chunk in existing)
        # chunks of another length or grid may be there: those that the server made itself, or of before a change
        needed = uncovered(wanted, there)
        if needed and earliest is not None:
            await _check_watermark(connection, level, earliest)
        made = list(needed)
        if needed and self._service:
            asked = self._engine.ask_for_chunks(level, needed)
            await executed(connection, asked)
            made = made if asked else []  # the server makes them, in its own grid, for whoever comes first
        elif needed:
            for leftover in await inspected(connection, self._engine.leftovers(level)):
                if leftover.range in needed:  # an interrupted retention left a table of this name
                    if (await connection.execute(archives.held_chunk(level.name, leftover.name))).scalar_one():
                        raise _being_archived(level, leftover)
                    await executed(connection, self._engine.drop(level, leftover))
            await executed(connection, self._engine.make_chunks(level, needed))
        self._known[level.name] = merged((*there, *needed))
        return made


def lacks_chunk(error: CheckError) -> bool:
    """Whether a row had no chunk to go to: the server calls it a check that has no name."""
    return not error.constraint


async def _check_watermark(connection: AsyncConnection, level: Level, earliest: datetime) -> None:
    """The capture of changes refuses such rows too; here no chunk is made for them."""
    row = (await connection.execute(series.watermark(level.name))).first()
    if row is None:
        raise NotMigratedError("is not known to the store", operation="append", target=level.name, hint=_MIGRATE)
    if row.dropped_before is not None and earliest < row.dropped_before and row.late_rows == "refuse":
        raise BelowWatermarkError(
            f"rows before {row.dropped_before:%Y-%m-%d %H:%M:%S} UTC are gone; the oldest row is of "
            f"{earliest:%Y-%m-%d %H:%M:%S.%f}",
            operation="append",
            target=level.name,
            hint="leave older rows out: the rollups hold what was there; history is loaded before the first drop",
        )


def _being_detached(level: Level, error: StoreError) -> ConflictError:
    """A chunk that retention is detaching, or was when it was killed, is listed neither as attached nor as a table of
    its own."""
    return ConflictError(
        error.cause,
        operation="append",
        target=level.name,
        hint="a chunk of that time is on its way out of the table: its rows are taken again once retention has run",
    )


def _being_archived(level: Level, chunk: Chunk) -> ConflictError:
    """Only retention drops such a table: it looks again whether the archive has all of its rows."""
    return ConflictError(
        f"{chunk.name} is on its way to the archive",
        operation="append",
        target=level.name,
        hint="late rows of its time are taken again once the retention job has dropped it",
    )


_MIGRATE: Final = "run `storekeeper migrate`"
