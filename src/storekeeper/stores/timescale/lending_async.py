"""Statements of others over both tiers: rows of files are lent to the server, in a temporary table, stretch by stretch.

So comparisons, texts and their order are the server's for archived rows too. Values go there as CSV, which every type
of a column can be read from.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Hypertable, Range
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import executed
from storekeeper.stores.sql.transaction import Default
from storekeeper.stores.timescale.cold import Wanted, wanted_of
from storekeeper.stores.timescale.tiers_async import AsyncTiers
from storekeeper.timescale.archived import LENT, copy_lent, empty_lent, lend
from storekeeper.timescale.levels import Level
from storekeeper.timescale.tiers import Segment


@dataclass(frozen=True)
class AsyncStretch:
    """A stretch of time, and the level whose table has its rows, for statements on this connection."""

    connection: AsyncConnection
    level: Level
    range: Range


class AsyncLending:
    """Shows rows of datasets that are archived as tables of the server."""

    def __init__(self, pool: AsyncPool, tiers: AsyncTiers) -> None:
        self._pool = pool
        self._tiers = tiers

    @asynccontextmanager
    async def stretches(
        self,
        level: Level,
        columns: Sequence[str] | None,
        where: Mapping[str, Sequence[object]] | None,
        *,
        start: datetime | None,
        end: datetime | None,
        newest_first: bool,
        archived: bool,
        timeout: float | Default | None,
        local: Mapping[str, str],
    ) -> AsyncIterator[AsyncIterator[AsyncStretch]]:
        """The stretches of [start, end) that may hold rows, in order of time or in the opposite order, in one snapshot:
        each to be read before the next one is asked for. With `archived`, only those that files have a part in."""
        wanted = wanted_of(level, columns, where, exact=True, zone="UTC")
        async with (
            self._tiers.snapshot(level, timeout, local=local) as connection,
            aclosing(self._each(connection, level, wanted, start, end, newest_first, archived)) as found,
        ):
            yield found

    async def _each(
        self,
        connection: AsyncConnection,
        level: Level,
        wanted: Wanted,
        start: datetime | None,
        end: datetime | None,
        newest_first: bool,
        archived: bool,
    ) -> AsyncGenerator[AsyncStretch, None]:
        segments = await self._tiers.segments(connection, level, start, end)
        lent = Level(lent_of(level.hypertable), 0)
        made = False
        for segment in reversed(segments) if newest_first else segments:
            if segment.files:
                columns = [column.name for column in wanted.columns]
                await executed(connection, empty_lent() if made else lend(level, columns))
                made = True
                await self._lend(connection, level, wanted, segment)
                yield AsyncStretch(connection, lent, segment.range)
            elif not archived:
                yield AsyncStretch(connection, level, segment.range)

    async def _lend(self, connection: AsyncConnection, level: Level, wanted: Wanted, segment: Segment) -> None:
        rows = await self._tiers.segment(connection, level, wanted, segment)
        if not rows.num_rows:
            return
        statement = copy_lent(rows.column_names, "csv")
        async with self._pool.copy(connection, statement, operation="read", target=level.name) as copy:
            await copy.write(await to_thread(as_csv, rows))


def lent_of(hypertable: Hypertable) -> Hypertable:
    """The declaration with the temporary table in place of its own."""
    schema, name = LENT
    table = hypertable.table.to_metadata(
        sa.MetaData(schema=schema, naming_convention=NAMING_CONVENTION), schema=schema, name=name
    )
    return replace(hypertable, table=table)


def as_csv(rows: Table) -> memoryview:
    """Rows of files as the server reads them from text. NULL is nothing, a text is always in quotes."""
    import pyarrow as pa
    from pyarrow import csv

    decimals = [field.with_type(pa.string()) if pa.types.is_decimal(field.type) else field for field in rows.schema]
    out = pa.BufferOutputStream()
    csv.write_csv(rows.cast(pa.schema(decimals)), out, csv.WriteOptions(include_header=False))
    return memoryview(out.getvalue())
