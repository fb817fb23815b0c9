"""The newest row of each key, of both tiers: by index from the store, file by file from the cold tier.

Of one time and key the store's row counts before a file's: it came late, to what had been archived.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Hypertable
from storekeeper.clock import as_utc
from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.transaction import DEFAULT
from storekeeper.stores.timescale.cold import (
    answered,
    kinds_of,
    last_of_keys,
    newest_rows,
    of_keys,
    pushed,
    typed_keys,
)
from storekeeper.stores.timescale.lately import Lately
from storekeeper.stores.timescale.read_async import AsyncReader
from storekeeper.stores.timescale.tiers_async import AsyncTiers
from storekeeper.timescale.archived import UNTIL, ColdFile, as_text, select_ordered, with_archive
from storekeeper.timescale.levels import Level
from storekeeper.timescale.rows import key_of, select_latest
from storekeeper.timescale.statement import Statement

_Key = tuple[object, ...]
_Keys = set[_Key]
#: Which part of the archive a row is from, or which tier: of one time and key the last counts.
_SOURCE = "storekeeper_source"


@dataclass(frozen=True)
class _Folded:
    """The newest row of each key of these files, which never change."""

    paths: frozenset[str]
    rows: Table | None


class AsyncNewest:
    """Looks for the newest rows of datasets that are archived."""

    def __init__(self, pool: AsyncPool, reader: AsyncReader, tiers: AsyncTiers) -> None:
        self._pool = pool
        self._reader = reader
        self._tiers = tiers
        self._folded: dict[object, _Folded] = {}
        self._lately = Lately()

    async def latest(self, hypertable: Hypertable, keys: Sequence[object] | None, *, exact: bool) -> Table:
        """One statement where nothing is archived, or every one of `keys` has a row that is newer than all that is.
        Else the files too: each once in the life of a store, as far back as the keys ask for."""
        level, by = Level(hypertable, 0), key_of(hypertable)
        columns = tuple(hypertable.table.columns)
        whole = select_latest(hypertable, keys)  # a key that is none is told here
        wanted = None if keys is None else typed_keys(hypertable.table, by, keys)
        earliest = None if wanted is None else self._lately.earliest(hypertable)
        lately = whole if earliest is None else select_latest(hypertable, keys, earliest=earliest)
        async with self._pool.begin(operation="read latest", target=level.name) as connection:
            rows, until = await self._of_store(connection, level, lately, exact)
            if lately is not whole and wanted is not None and rows.num_rows < len(wanted):
                rows, until = await self._of_store(connection, level, whole, exact)
        if wanted is not None:
            self._lately.note(hypertable, rows, len(wanted))
        if until is None or (wanted is not None and _all_since(rows, level.time, len(wanted), until)):
            return rows
        async with self._tiers.snapshot(level, DEFAULT) as connection:
            files = await self._tiers.files(connection, level, None, None)
            hot = await self._fetched(connection, whole, columns, exact, level)
            cold = await self._of_all(level, by, wanted, files)
            if cold is None or not cold.num_rows:
                return hot
            merged = newest_of_both(hot, answered(cold, hot.schema), by, (level.time,))
            return await self._in_order(connection, level, by, merged, exact)

    async def _of_store(
        self, connection: AsyncConnection, level: Level, newest: Statement, exact: bool
    ) -> tuple[Table, datetime | None]:
        """The newest rows that the store has, and until when rows are archived: None where none is."""
        columns = tuple(level.table.columns)
        statement = with_archive(newest, level, key_of(level.hypertable))
        found = await self._fetched(connection, statement, (*columns, UNTIL), exact, level)
        rows = found.select([column.name for column in columns])
        if rows.column(level.time).null_count:  # the one row that says until when
            rows = rows.slice(0, 0)
        return rows, found.column(UNTIL.name)[0].as_py()

    async def before(
        self,
        connection: AsyncConnection,
        level: Level,
        columns: Sequence[str],
        by: Sequence[str],
        keys: Sequence[object],
        *,
        start: datetime | None,
        end: datetime | None,
        hot: Table | None = None,
    ) -> Table | None:
        """Of the files alone the newest row of each of these keys within [start, end), with the types that are kept;
        None where no file has any. In the snapshot of this connection. `hot` are rows of the same keys that are in the
        store: of their keys none older is looked for."""
        wanted = typed_keys(level.table, by, keys)
        files = await self._tiers.files(connection, level, start, end)
        if hot is not None and hot.num_rows and files:
            times = hot.column(level.time)
            newest = max(file.latest for file in files)
            there = typed_keys(level.table, by, _rows_of(hot.filter(pc.greater(times, newest)), by))
            wanted -= there
            if wanted <= typed_keys(level.table, by, _rows_of(hot, by)):
                oldest = as_utc(pc.min(times).as_py())
                start = oldest if start is None else max(start, oldest)
        if not wanted or not files:
            return None
        names = list(dict.fromkeys([*columns, level.time, *by, *level.natural_key]))
        where = {
            name: [key[place] for key in wanted]
            for place, name in enumerate(by)
            if not as_text(level.table.columns[name].type) and not isinstance(level.table.columns[name].type, sa.Float)
        }
        read = partial(
            self._tiers.place(level).read,
            time=level.time,
            columns=names,
            within=(start, end),
            where=pushed(level.table, where),
            kinds=kinds_of(level),
        )
        files = [file for file in files if start is None or file.latest >= start]
        _, rows = await self._folding(level, by, wanted, files, None, read)
        return rows

    async def _of_all(
        self, level: Level, by: Sequence[str], wanted: _Keys | None, files: Sequence[ColdFile]
    ) -> Table | None:
        """The newest rows of these keys (None: all) in the files. What was read before is not read again."""
        names, kinds = level.table.columns.keys(), kinds_of(level)
        called = (level.name, *kinds.items())
        known = self._folded.get(called)
        if known is None or not known.paths <= {file.path for file in files}:
            known = _Folded(frozenset(), None)
        place = self._tiers.place(level)
        read = partial(place.read, time=level.time, columns=names, within=(None, None), kinds=kinds)
        rest = [file for file in files if file.path not in known.paths]
        done, rows = await self._folding(level, by, wanted, rest, known.rows, read)
        self._folded[called] = _Folded(known.paths | done, rows)
        if rows is None or wanted is None:
            return rows
        return of_keys(rows, level.table, by, wanted)

    async def _folding(
        self,
        level: Level,
        by: Sequence[str],
        wanted: _Keys | None,
        files: Sequence[ColdFile],
        known: Table | None,
        read: Callable[[ColdFile], Table],
    ) -> tuple[set[str], Table | None]:
        """From the newest file backward, until what is left of them is older than what is known of every key."""
        done: set[str] = set()
        for file in sorted(files, key=lambda file: file.latest, reverse=True):
            if known is not None and wanted is not None:
                of_wanted = of_keys(known, level.table, by, wanted)
                if _all_since(of_wanted, level.time, len(wanted), file.latest, strict=True):
                    break
            rows = await to_thread(_last_of, read, file, by)
            rows = rows.append_column(_SOURCE, pa.array([file.part] * rows.num_rows, pa.string()))
            if known is None:
                known = rows
            elif rows.num_rows:
                known = newest_rows(pa.concat_tables([known, rows]), by, _order(level, by))
            done.add(file.path)
        return done, known

    async def _in_order(
        self, connection: AsyncConnection, level: Level, by: Sequence[str], rows: Table, exact: bool
    ) -> Table:
        """Rows in the order of their keys: the server's, whose collation is its own."""
        keys = _rows_of(rows, by)
        columns = [level.table.columns[name] for name in by]
        ordered = await self._fetched(connection, select_ordered(level, by, keys), columns, exact, level)
        place = {key: at for at, key in enumerate(keys)}
        found: Table = rows.take(pa.array([place[key] for key in _rows_of(ordered, by)], pa.int64()))
        return found

    async def _fetched(
        self,
        connection: AsyncConnection,
        statement: Statement,
        columns: Sequence[sa.Column[Any]],
        exact: bool,
        level: Level,
    ) -> Table:
        named = [(column.name, column.type) for column in columns]
        return await self._reader.fetched(connection, statement, named, exact=exact, target=level.name, cast=False)


def newest_of_both(hot: Table, cold: Table, by: Sequence[str], order: Sequence[str]) -> Table:
    """The newest row of each key of two tables of the same columns; in no order."""
    names = hot.column_names
    marked = [
        rows.select(names).append_column(_SOURCE, pa.array([name] * rows.num_rows, pa.string()))
        for name, rows in (("cold", cold), ("hot", hot))
    ]
    return newest_rows(pa.concat_tables(marked), by, (*order, _SOURCE)).select(names)


def _last_of(read: Callable[[ColdFile], Table], file: ColdFile, by: Sequence[str]) -> Table:
    return last_of_keys(read(file), by)


def _order(level: Level, by: Sequence[str]) -> tuple[str, ...]:
    rest = (name for name in level.natural_key if name != level.time and name not in by)
    return (level.time, *rest, _SOURCE)


def _rows_of(rows: Table, by: Sequence[str]) -> list[_Key]:
    return list(zip(*(rows.column(name).to_pylist() for name in by), strict=True))


def _all_since(rows: Table, time: str, count: int, moment: datetime, *, strict: bool = False) -> bool:
    """Whether there are so many rows, none older than that."""
    if rows.num_rows < count:
        return False
    if not count:
        return True
    oldest = as_utc(pc.min(rows.column(time)).as_py())
    return oldest > moment if strict else oldest >= moment
