"""What analysts ask: bars on any calendar with their gaps filled, how they are made, and one series as of another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Range
from storekeeper.ledger import series
from storekeeper.span import Span
from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import inspected
from storekeeper.stores.timescale.answers import averaged, schema_of, table_of
from storekeeper.stores.timescale.cold import answered, of_keys, typed_keys, wanted_of
from storekeeper.stores.timescale.cold_bars_async import AsyncColdBars
from storekeeper.stores.timescale.explained import Explained
from storekeeper.stores.timescale.gaps import Gaps, check_gaps, check_size, filled
from storekeeper.stores.timescale.joining import joined
from storekeeper.stores.timescale.newest_async import AsyncNewest, newest_of_both
from storekeeper.stores.timescale.questions import AsOf, Question
from storekeeper.stores.timescale.read_async import AsyncReader
from storekeeper.stores.timescale.tiers_async import AsyncTiers
from storekeeper.timescale.as_of import select_newest_before, select_range
from storekeeper.timescale.bars import select_bars
from storekeeper.timescale.conditions import keyed
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.known_before import FOUND, archived_before, carried, of_archive, select_before, select_keys
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import qualified
from storekeeper.timescale.routing import Route, Standing, fitting, routed, with_stale
from storekeeper.timescale.shapes import BarColumn
from storekeeper.timescale.statement import Statement

_MICROSECOND: Final = timedelta(microseconds=1)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
#: Rows of a batch on their way into an answer.
_BATCH: Final = 65_536
_READING: Final = {"cursor_tuple_fraction": "1"}  # all rows are fetched: plan for the last, not for the first


class AsyncAnalysis:
    """Answers questions of analysts, each in one snapshot of the store.

    `shown`: rollups are read by the views through which services see them.
    """

    def __init__(
        self,
        pool: AsyncPool,
        engine: Engine,
        reader: AsyncReader,
        cold: AsyncColdBars,
        tiers: AsyncTiers,
        newest: AsyncNewest,
        *,
        shown: bool = False,
    ) -> None:
        self._pool = pool
        self._cold = cold
        self._tiers = tiers
        self._newest = newest
        self._engine = engine
        self._reader = reader
        self._shown = shown

    async def bars(self, question: Question, *, gaps: Gaps, look_back: Span, exact: bool) -> Table:
        """Bars, with the gaps between them filled; for "last" with what was known up to `look_back` before."""
        check_gaps(gaps, target=question.hypertable.name)
        async with self._snapshot(*question.levels, operation="read bars") as connection:
            route = await self._route(connection, question)
            if route is None:
                return table_of([], schema_of([(c.name, c.kind) for c in question.columns], exact=exact))
            if gaps != "none" and question.start is not None and question.end is not None:
                check_size(route.calendar.count(route.window), 1, target=question.hypertable.name)
            bars = await self._bars(connection, question, route, exact)
            if gaps == "none":
                return bars
            return await self._filled(connection, question, route, bars, gaps, look_back, exact)

    async def _bars(self, connection: AsyncConnection, question: Question, route: Route, exact: bool) -> Table:
        found = []
        if route.cold or route.rest:
            found.append(await self._cold.bars(connection, question, route, exact=exact))
        if route.warm.lower < route.warm.upper:
            statement = select_bars(route, question.keys, exact=exact)
            name = question.hypertable.name
            selected = question.selected(exact=exact)
            found.append(await self._fetched(connection, statement, selected, exact, name, cast=False))
        bars = found[0] if len(found) == 1 else pa.concat_tables(found)
        return averaged(bars, question.shape, exact=exact)

    async def explain(self, question: Question, *, exact: bool = False) -> Explained:
        """What `bars` would read, decided in the same way."""
        name = question.hypertable.name
        async with self._snapshot(*question.levels, operation="read bars") as connection:
            route = await self._route(connection, question)
        if route is None:
            return Explained(name, name, None)
        warm = route.warm.lower < route.warm.upper
        statement = select_bars(route, question.keys, exact=exact) if warm else None
        return Explained(name, route.level.name, route.window, tuple(route.parts()), route.cold, statement)

    async def as_of(self, question: AsOf, *, exact: bool) -> Table:
        """Rows of one series with the newest of another at or before them. The right's are read from the first row of
        the left on; what stood before that is looked up, one row a key."""
        left, right = Level(question.left, 0), Level(question.right, 0)
        async with self._snapshot(left, right, operation="as of") as connection:
            window = question.start, question.end
            rows = await self._rows(connection, left, question.left_read, question.by, question.keys, window, exact)
            others = await self._right(connection, question, right, rows, exact)
        return joined(question, rows, others)

    async def _right(
        self, connection: AsyncConnection, question: AsOf, right: Level, rows: Table, exact: bool
    ) -> Table:
        columns, by = question.right_read, question.by
        if not rows.num_rows:
            return table_of([], schema_of([(c.name, c.type) for c in columns], exact=exact))
        times = rows.column(question.left.time)
        first, last = pc.min(times).as_py(), pc.max(times).as_py()
        keys = question.keys if question.keys is not None else _keys_of(rows, by)
        found = await self._rows(connection, right, columns, by, keys, (first, _after(last)), exact)
        # what breaks ties of time is looked at where both tiers have a row
        more = [right.table.columns[n] for n in right.natural_key if n not in {c.name for c in columns}]
        read = [*columns, *(more if right.hypertable.archive else ())]
        statement = select_newest_before(right, read, by, keys, first, question.tolerance, exact=exact)
        before = await self._fetched(connection, statement, _columns(read), exact, right.name)
        if right.hypertable.archive:
            start = question.tolerance.before_or_first(first) if question.tolerance is not None else None
            names = [column.name for column in read]
            cold = await self._newest.before(connection, right, names, by, keys, start=start, end=first, hot=before)
            if cold is not None:
                ties = [name for name in right.natural_key if name != right.time and name not in by]
                before = newest_of_both(before, answered(cold, before.schema), by, (right.time, *ties))
        both: Table = pa.concat_tables([before.select(found.column_names), found])
        return both

    async def _rows(
        self,
        connection: AsyncConnection,
        level: Level,
        columns: Sequence[sa.Column[object]],
        by: Sequence[str],
        keys: Sequence[object] | None,
        window: tuple[datetime | None, datetime | None],
        exact: bool,
    ) -> Table:
        """Rows of these keys in order of time and natural key, of both tiers where the dataset is archived."""
        start, end = window
        if not level.hypertable.archive:
            wanted = keyed(level.table, by, keys, operation="as of", target=level.name)
            statement = select_range(level, columns, wanted, start, end, exact=exact)
            return await self._fetched(connection, statement, _columns(columns), exact, level.name)
        where = {}
        if keys is not None:
            listed = [key if isinstance(key, tuple) else (key,) for key in keys]
            where = {name: [key[place] for key in listed] for place, name in enumerate(by)}
        names = [column.name for column in columns]
        asked = wanted_of(level, names, where, exact=exact, zone="UTC")
        reading = self._tiers.reading(
            connection, level, asked, start=start, end=end, limit=None, newest_first=False, most=_BATCH
        )
        async with aclosing(reading) as found:
            rows = table_of([batch async for batch in found if batch.num_rows], asked.schema)
        # a condition on each column of a key lets more through than one on the key
        if keys is None or len(by) == 1:
            return rows
        return of_keys(rows, level.table, by, typed_keys(level.table, by, keys))

    async def _filled(
        self,
        connection: AsyncConnection,
        question: Question,
        route: Route,
        bars: Table,
        gaps: Gaps,
        look_back: Span,
        exact: bool,
    ) -> Table:
        calendar, by = route.calendar, question.shape.by
        window = _asked(question, route, bars)
        if window is None:
            return bars
        also_before = gaps == "last" and question.start is not None
        known = question.keys if also_before and question.keys is not None else _keys_of(bars, by)
        if also_before and not by:
            known = [()]  # the only line there is, which may have a value from before
        check_size(calendar.count(window), max(1, len(known)), target=question.hypertable.name)
        columns = [BarColumn(key, question.hypertable.table.columns[key].type) for key in by]
        name = question.hypertable.name
        if also_before:
            held = await self._held(connection, route, look_back)
            archived = None if held is None else await self._archived(connection, route, known, held)
            statement = select_before(route, known, look_back, exact=exact, held=held, archived=archived)
            columns = [*columns, *carried(route), FOUND]
            keys = await self._fetched(connection, statement, columns, exact, name)
        elif by:
            statement = select_keys(route, known, exact=exact)
            keys = await self._fetched(connection, statement, columns, exact, name)
        else:  # one line, which has no name
            keys = pa.table({FOUND.name: [True] * len(known)})
        if also_before:
            keys = _with_values(keys, bars, by)
        return filled(bars, calendar.instants(window), keys, question.shape, gaps)

    async def _held(self, connection: AsyncConnection, route: Route, look_back: Span) -> Range | None:
        """Of the time that is looked back over, what only the archive has."""
        if not route.rows.hypertable.archive:
            return None
        there, complete = await self._tiers.complete_from(connection, route.rows)
        return archived_before(route, look_back, complete) if there else None

    async def _archived(
        self, connection: AsyncConnection, route: Route, keys: Sequence[object], held: Range
    ) -> dict[str, list[object]] | None:
        """The newest rows of these keys that the archive has within `held`."""
        names, by = of_archive(route), route.shape.by
        found = await self._newest.before(connection, route.rows, names, by, keys, start=held.lower, end=held.upper)
        return None if found is None else {name: found.column(name).to_pylist() for name in names}

    async def _route(self, connection: AsyncConnection, question: Question) -> Route | None:
        hypertable, calendar, shape = question.hypertable, question.calendar, question.shape
        marks = {row.dataset: row.dropped_before for row in await connection.execute(series.all_watermarks())}
        held: dict[str, list[Range]] = {}
        if question.start is None or question.end is None:
            for level in fitting(hypertable, calendar, shape):
                held[level.name] = [chunk.range for chunk in await inspected(connection, self._engine.chunks(level))]
        archived, lie = await self._cold.reaches(connection, question, held.get(hypertable.name, ()))
        standing, passed = Standing(marks, held, lie), set[str]()
        while True:
            route = routed(
                hypertable, calendar, shape, question.start, question.end, standing, archived=archived, without=passed
            )
            if route is None:
                return None
            pending: list[Range] = []
            for source in route.level.finer:
                pending += await inspected(connection, self._engine.pending(source))
            found = with_stale(replace(route, level=replace(route.level, shown=self._shown)), pending)
            if not found.lacking:
                return found
            passed.add(route.level.name)

    @asynccontextmanager
    async def _snapshot(self, *read: Level, operation: str) -> AsyncIterator[AsyncConnection]:
        """One snapshot, in which what is pending, what was dropped and what the tables hold agree.

        The lock comes before the snapshot: while it is held, no chunk that the snapshot still sees is taken away.
        """
        shown = [replace(level, shown=self._shown) for level in read]
        tables = ", ".join(qualified(level.schema, level.read_name) for level in shown)
        async with self._pool.begin(
            isolation="repeatable read", operation=operation, target=read[0].hypertable.name, local=_READING
        ) as connection:
            await connection.execute(sa.text(f"LOCK TABLE {tables} IN ACCESS SHARE MODE"))
            yield connection

    async def _fetched(
        self,
        connection: AsyncConnection,
        statement: Statement,
        columns: Sequence[BarColumn],
        exact: bool,
        target: str,
        *,
        cast: bool = True,
    ) -> Table:
        named = [(column.name, column.kind) for column in columns]
        return await self._reader.fetched(connection, statement, named, exact=exact, target=target, cast=cast)


def _asked(question: Question, route: Route, bars: Table) -> Range | None:
    """The window whose gaps are filled: an open end is that of the bars which are there. None: there are none."""
    if question.start is not None and question.end is not None:
        return route.window
    if not bars.num_rows:
        return None
    first, last = bars.column("bucket")[0].as_py(), bars.column("bucket")[-1].as_py()
    lower = route.window.lower if question.start is not None else first
    return Range(lower, route.window.upper if question.end is not None else route.calendar.after(last))


def _columns(columns: Sequence[sa.Column[object]]) -> list[BarColumn]:
    return [BarColumn(column.name, column.type) for column in columns]


def _after(moment: datetime) -> datetime | None:
    """The next moment; none after the last that there is."""
    return moment + _MICROSECOND if moment < _LAST else None


def _keys_of(bars: Table, by: Sequence[str]) -> list[tuple[object, ...]]:
    """The keys that bars have, each once; without columns of a key that is one, of nothing."""
    if not by:
        return [()] if bars.num_rows else []
    found = bars.group_by(list(by)).aggregate([]).to_pydict()
    return list(zip(*(found[name] for name in by), strict=True))


def _with_values(keys: Table, bars: Table, by: Sequence[str]) -> Table:
    """The keys that have a bar, or a value from before."""
    there = set(_keys_of(bars, by))
    found = keys.column(FOUND.name).to_pylist()
    of_rows = zip(*(keys.column(name).to_pylist() for name in by), strict=True) if by else [()] * len(found)
    rows = zip(of_rows, found, strict=True)
    return keys.filter(pa.array([before or key in there for key, before in rows], pa.bool_()))
