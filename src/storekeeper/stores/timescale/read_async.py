"""Rows and bars out, as Arrow tables: read in batches, each in one snapshot of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Hypertable, Range
from storekeeper.errors import BelowWatermarkError, InputError
from storekeeper.ledger import series
from storekeeper.span import Span
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import inspected
from storekeeper.stores.timescale.answers import batch_of, schema_of, table_of
from storekeeper.timescale.bars import bar_columns, level_for, select_bars
from storekeeper.timescale.chunks import aligned
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import qualified
from storekeeper.timescale.rows import read_columns, select_latest, select_rows
from storekeeper.timescale.statement import Statement

#: Rows that are held as Python objects at once.
_BATCH: Final = 20_000
_READING: Final = {"cursor_tuple_fraction": "1"}  # all rows are fetched: plan for the last, not for the first


class AsyncReader:
    """Reads series. `shown`: rollups by the views through which services see them."""

    def __init__(self, pool: AsyncPool, engine: Engine, *, shown: bool = False) -> None:
        self._pool = pool
        self._engine = engine
        self._shown = shown

    async def rows(
        self,
        level: Level,
        *,
        start: datetime | None,
        end: datetime | None,
        where: Mapping[str, Sequence[object]] | None,
        columns: Sequence[str] | None,
        limit: int | None,
        exact: bool,
        newest_first: bool,
    ) -> Table:
        level = replace(level, shown=self._shown)
        chosen = read_columns(level, columns)
        statement = select_rows(
            level, chosen, start=start, end=end, where=where, limit=limit, exact=exact, newest_first=newest_first
        )
        async with self._pool.begin(operation="read", target=level.name, local=_READING) as connection:
            return await self._fetched(connection, statement, chosen, exact=exact, target=level.name)

    async def latest(self, hypertable: Hypertable, keys: Sequence[object] | None, *, exact: bool) -> Table:
        statement = select_latest(hypertable, keys, exact=exact)
        columns = tuple(hypertable.table.columns)
        async with self._pool.begin(operation="read latest", target=hypertable.name) as connection:
            return await self._fetched(connection, statement, columns, exact=exact, target=hypertable.name)

    async def bars(
        self,
        hypertable: Hypertable,
        keys: Sequence[object] | None,
        *,
        every: Span,
        start: datetime | None,
        end: datetime | None,
        exact: bool,
    ) -> Table:
        level, columns = replace(level_for(hypertable, every), shown=self._shown), bar_columns(hypertable)
        async with self._snapshot(level) as connection:
            floor = await _watermark(connection, Level(hypertable, 0))
            gone = await _watermark(connection, level)
            if start is not None and gone is not None and every.floor(start) < gone:
                raise _too_early(level, every, gone)
            window = await self._window(connection, level, every, start, end, gone)
            stale: list[Range] = []
            if window is None:
                return table_of([], schema_of([(c.name, c.kind) for c in columns], exact=exact))
            for source in level.finer:
                stale += await inspected(connection, self._engine.pending(source))
            if level.depth:
                stale = list(aligned(stale, level.buckets.every))
            statement = select_bars(level, every, window, stale, floor, keys, exact=exact)
            return await self._fetched(connection, statement, columns, exact=exact, target=hypertable.name)

    @asynccontextmanager
    async def _snapshot(self, level: Level) -> AsyncIterator[AsyncConnection]:
        """One snapshot, in which what is pending, what was dropped and what the tables hold agree.

        The lock comes before the snapshot: while it is held, no chunk that the snapshot still sees is taken away.
        """
        tables = ", ".join(qualified(one.schema, one.read_name) for one in (*level.finer[:1], level))
        async with self._pool.begin(
            isolation="repeatable read", operation="read bars", target=level.hypertable.name, local=_READING
        ) as connection:
            await connection.execute(sa.text(f"LOCK TABLE {tables} IN ACCESS SHARE MODE"))
            yield connection

    async def _window(
        self,
        connection: AsyncConnection,
        level: Level,
        every: Span,
        start: datetime | None,
        end: datetime | None,
        gone: datetime | None,
    ) -> Range | None:
        """The whole buckets that [start, end) touches; an end left open is where the chunks end. None: no rows."""
        if start is None or end is None:
            held = [
                c.range for one in (*level.finer[:1], level) for c in await inspected(connection, self._chunks(one))
            ]
            if not held:
                return None
            start = start or max(min(piece.lower for piece in held), gone or min(piece.lower for piece in held))
            end = end or max(piece.upper for piece in held)
        if end <= start:
            raise InputError(f"ends at {end}, before it begins", operation="read bars", target=level.hypertable.name)
        return Range(every.floor(start), every.ceil(end))

    def _chunks(self, level: Level) -> Any:
        return self._engine.chunks(level)

    async def _fetched(
        self,
        connection: AsyncConnection,
        statement: Statement,
        columns: Sequence[Any],
        *,
        exact: bool,
        target: str,
    ) -> Table:
        """All rows of a statement, through a cursor of the server, so that few are held as Python objects at once."""
        schema = schema_of(
            [(column.name, getattr(column, "type", None) or column.kind) for column in columns], exact=exact
        )
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        compiled = statement.clause().compile(dialect=connection.dialect)
        batches = []
        async with driver.cursor("storekeeper_read") as cursor:
            await cursor.execute(str(compiled), compiled.params, binary=True)
            while rows := await cursor.fetchmany(_BATCH):
                batches.append(batch_of(rows, schema, target=target))
        return table_of(batches, schema)


async def _watermark(connection: AsyncConnection, level: Level) -> datetime | None:
    row = (await connection.execute(series.watermark(level.name))).first()
    moment: datetime | None = None if row is None else row.dropped_before
    return moment


def _too_early(level: Level, every: Span, gone: datetime) -> BelowWatermarkError:
    kept = level.coarser[-1].buckets.every if level.coarser else None
    hint = f"start there, or ask for bars of {kept}" if kept else "start there"
    return BelowWatermarkError(
        f"what bars of {every} are made of was dropped before {gone:%Y-%m-%d %H:%M:%S} UTC",
        operation="read bars",
        target=level.hypertable.name,
        hint=hint,
    )
