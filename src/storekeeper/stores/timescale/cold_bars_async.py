"""Bars of rows that lie in the cold tier: made by the server, by the same statement, of rows lent to it for that.

Rows go through a temporary table of the reader's own transaction, so that sums, ties and time zones are the server's
here too. Only the columns that bars are made of go there, a file at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Hypertable, Range
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import executed
from storekeeper.stores.timescale.batches import encoded
from storekeeper.stores.timescale.cold import answered, wanted_of
from storekeeper.stores.timescale.questions import Question
from storekeeper.stores.timescale.read_async import AsyncReader
from storekeeper.stores.timescale.tiers_async import AsyncTiers
from storekeeper.timescale.archived import LENT, copy_lent, lend, lend_rows
from storekeeper.timescale.bars import select_bars
from storekeeper.timescale.levels import Level
from storekeeper.timescale.routing import Route


class AsyncColdBars:
    """Answers the part of a route that the server holds no more."""

    def __init__(self, pool: AsyncPool, reader: AsyncReader, tiers: AsyncTiers) -> None:
        self._pool = pool
        self._reader = reader
        self._tiers = tiers

    async def reaches(self, connection: AsyncConnection, question: Question) -> bool:
        """Whether rows from the start of a question on are all there, in one tier or the other."""
        level = Level(question.hypertable, 0)
        if not level.hypertable.archive or question.start is None:
            return False
        archived, complete = await self._tiers.complete_from(connection, level)
        return archived and (complete is None or complete <= question.calendar.floor(question.start))

    async def bars(self, connection: AsyncConnection, question: Question, route: Route, *, exact: bool) -> Table:
        """Bars of the cold windows of a route and of what completes their last bucket. In a transaction that may make a
        temporary table, in which it holds a snapshot."""
        level = Level(question.hypertable, 0)
        pieces = (*route.cold, *route.rest)
        window = Range(pieces[0].lower, pieces[-1].upper)
        columns = _columns(question)
        # a condition on each column of the key lets more through than one on the key: the statement looks again
        where = {}
        if question.keys is not None:
            rows = [key if isinstance(key, tuple) else (key,) for key in question.keys]
            where = {name: [row[place] for row in rows] for place, name in enumerate(question.shape.by)}
        wanted = wanted_of(level, columns, where, exact=True, zone="UTC")
        await executed(connection, lend(level, columns))
        for segment in await self._tiers.segments(connection, level, window.lower, window.upper):
            if not segment.files:
                await executed(connection, lend_rows(level, columns, segment.range))
                continue
            found = answered(await self._tiers.segment(connection, level, wanted, segment), wanted.schema)
            if found.num_rows:
                async with self._pool.copy(
                    connection, copy_lent(columns), operation="read bars", target=level.name
                ) as copy:
                    for block in encoded(found, level.table):
                        await copy.write(block)
        lent = Route(Level(_lent(question.hypertable), 0), route.calendar, route.shape, window)
        named = [(column.name, column.kind) for column in question.columns]
        statement = select_bars(lent, question.keys, exact=exact)
        return await self._reader.fetched(connection, statement, named, exact=exact, target=level.name, cast=False)


def _columns(question: Question) -> Sequence[str]:
    """What bars are made of, and what breaks ties of time."""
    hypertable, shape = question.hypertable, question.shape
    measured = [name for measure in shape.measures for name in measure.columns]
    return list(dict.fromkeys([hypertable.time, *shape.by, *hypertable.natural_key, *measured]))


def _lent(hypertable: Hypertable) -> Hypertable:
    """The declaration with the temporary table in place of its own."""
    schema, name = LENT
    table = hypertable.table.to_metadata(
        sa.MetaData(schema=schema, naming_convention=NAMING_CONVENTION), schema=schema, name=name
    )
    return replace(hypertable, table=table)
