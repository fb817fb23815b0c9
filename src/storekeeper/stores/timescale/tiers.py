# Generated from tiers_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows of both tiers in one answer: from the files of the cold tier what was dropped, from the store what is there.

One snapshot decides: a part of the cold tier counts where its chunk is no longer attached, and while the snapshot is
read no chunk goes. So each row is in exactly one tier, but for rows that came late to what was archived (where a
dataset keeps them): those are merged, the newest of one natural key counts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from operator import call as to_thread
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from storekeeper.catalog import Range
from storekeeper.catalog.ranges import merged
from storekeeper.clock import as_utc
from storekeeper.errors import ArchiveError
from storekeeper.ledger import archives
from storekeeper.stores.sql.arrow import RecordBatch, Table, pa, pc
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.answers import table_of
from storekeeper.stores.timescale.cold import Cold, Wanted, answered, in_order, kinds_of, merged_rows, pushed
from storekeeper.stores.timescale.read import Reader
from storekeeper.stores.timescale.streaming import Batches
from storekeeper.timescale.archived import ColdFile, kept_columns, select_kept, select_ordered, share_rows
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import qualified
from storekeeper.timescale.tiers import FIRST, LAST, TICK, Segment, segments

#: Rows of a batch where the caller does not say.
_BATCH: Final = 65_536
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Tiers:
    """Reads rows of datasets that are archived. `cold` None: this process knows no place of the archive."""

    def __init__(self, pool: Pool, engine: Engine, reader: Reader, cold: Cold | None) -> None:
        self._pool = pool
        self._engine = engine
        self._reader = reader
        self._cold = cold

    def rows(
        self,
        level: Level,
        wanted: Wanted,
        *,
        start: datetime | None,
        end: datetime | None,
        limit: int | None,
        newest_first: bool,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
    ) -> Table:
        with self.snapshot(level, timeout) as connection:
            reading = self.reading(
                connection, level, wanted, start=start, end=end, limit=limit, newest_first=newest_first, most=_BATCH
            )
            with closing(reading) as found:
                batches = [batch for batch in found if batch.num_rows]
        return table_of(batches, wanted.schema)

    def stream(
        self,
        level: Level,
        wanted: Wanted,
        *,
        start: datetime | None,
        end: datetime | None,
        batch_rows: int,
        timeout: float | Default | None,  # the server's, of the transaction
    ) -> Batches:
        return Batches(self._streamed(level, wanted, start, end, batch_rows, timeout), wanted.schema)

    def _streamed(
        self,
        level: Level,
        wanted: Wanted,
        start: datetime | None,
        end: datetime | None,
        most: int,
        timeout: float | Default | None,
    ) -> Generator[RecordBatch, None]:
        with self.snapshot(level, timeout) as connection:
            reading = self.reading(
                connection,
                level,
                wanted,
                start=start,
                end=end,
                limit=None,
                newest_first=False,
                most=most,
                chunk_by_chunk=True,
            )
            with closing(reading) as found:
                for batch in found:
                    if batch.num_rows:
                        yield batch

    def held(self, level: Level) -> list[Range]:
        """The times whose rows are read from the cold tier; merged, in order. Chunks that were empty count too."""
        with self.snapshot(level, DEFAULT) as connection:
            rows = connection.execute(archives.cold_parts(level.name, _table(level)))
            return list(merged(Range(as_utc(row.lower), as_utc(row.upper)) for row in rows))

    def complete_from(self, connection: Connection, level: Level) -> tuple[bool, datetime | None]:
        """Whether the dataset was ever archived, and the time from which on both tiers hold all of its rows."""
        row = (connection.execute(archives.archive_of(level.name))).first()
        return row is not None, None if row is None else row.complete_from

    def extent(self, connection: Connection, level: Level) -> Range | None:
        """From the first row that is read from the cold tier to behind the last; None where there is none."""
        row = (connection.execute(archives.cold_extent(level.name, _table(level)))).one()
        return None if row.earliest is None else Range(as_utc(row.earliest), as_utc(row.latest) + TICK)

    def reading(
        self,
        connection: Connection,
        level: Level,
        wanted: Wanted,
        *,
        start: datetime | None,
        end: datetime | None,
        limit: int | None,
        newest_first: bool,
        most: int,
        chunk_by_chunk: bool = False,
    ) -> Generator[RecordBatch, None]:
        """The rows of [start, end) of a snapshot that this connection holds, in order of time and key; from the oldest
        on and without a limit also chunk by chunk, so that the first come at once."""
        found = self.segments(connection, level, start, end)
        left = limit
        for segment in reversed(found) if newest_first else found:
            if left is not None and left <= 0:
                return
            if not segment.files:
                lower, upper = segment.range.lower, segment.range.upper
                if chunk_by_chunk:
                    hot = self._reader.reading_by_chunk(connection, level, wanted, start=lower, end=upper, most=most)
                else:
                    hot = self._reader.reading(
                        connection,
                        level,
                        wanted,
                        start=lower,
                        end=upper,
                        limit=left,
                        newest_first=newest_first,
                        most=most,
                    )
                with closing(hot) as batches:
                    for batch in batches:
                        left = None if left is None else left - batch.num_rows
                        yield batch
                continue
            rows = self.segment(connection, level, wanted, segment)
            if newest_first:
                rows = rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))
            if left is not None:
                rows = rows.slice(0, left)
                left -= rows.num_rows
            for batch in answered(rows, wanted.schema).combine_chunks().to_batches(max_chunksize=most):
                yield batch

    def segments(
        self, connection: Connection, level: Level, start: datetime | None, end: datetime | None
    ) -> tuple[Segment, ...]:
        """The stretches of [start, end) that may hold rows, in the snapshot of this connection; one of the store alone
        where no file has any."""
        files = self.files(connection, level, start, end)
        if not files:
            return (Segment(Range(start or FIRST, end or LAST), hot=True),)
        chunks = [chunk.range for chunk in inspected(connection, self._engine.chunks(level))]
        return segments(files, chunks, start, end)

    def segment(self, connection: Connection, level: Level, wanted: Wanted, segment: Segment) -> Table:
        """The rows of one stretch of time of which files hold some, with the types that they are kept in."""
        cold = self.place(level)
        bounds = segment.range.lower, segment.range.upper
        reading = partial(cold.read, time=level.time, within=bounds, kinds=kinds_of(level))
        names = [column.name for column in wanted.columns]
        # of floating point no file says where a NaN is: it is compared once it is read
        floats = {name for name in wanted.where if isinstance(level.table.columns[name].type, sa.Float)}
        if len(segment.files) == 1 and not segment.hot and not floats:
            condition = pushed(level.table, wanted.where)
            read = partial(reading, columns=names, where=condition)
            return to_thread(read, segment.files[0])
        # A condition on the key holds for all rows of one key or for none; others are asked of the newest row alone.
        key = level.natural_key
        early = {n: values for n, values in wanted.where.items() if (not key or n in key) and n not in floats}
        late = {name: values for name, values in wanted.where.items() if name not in early}
        needed = list(dict.fromkeys([*names, level.time, *key, *late]))
        condition = pushed(level.table, early)
        read = partial(reading, columns=needed, where=condition)
        sources = [to_thread(read, file) for file in segment.files]
        if segment.hot:
            kept = [(column.name, column.type) for column in kept_columns(level)]
            statement = select_kept(level, segment.range)
            rows = self._reader.fetched(connection, statement, kept, exact=True, target=level.name)
            rows = rows if condition is None else rows.filter(condition)
            sources.append(rows.select(needed))
        rows = self._in_order(connection, level, merged_rows(sources, key))
        condition = pushed(level.table, late)
        return (rows if condition is None else rows.filter(condition)).select(names)

    def _in_order(self, connection: Connection, level: Level, rows: Table) -> Table:
        """Rows in order of time and natural key; of text as the server has it, whose collation is its own."""
        rest, texts = [name for name in level.natural_key if name != level.time], {}
        for name in rest:
            column = level.table.columns[name]
            values = pc.unique(rows.column(name))
            if isinstance(column.type, sa.String) and len(values) > 1:
                statement = select_ordered(level, (name,), values.to_pylist())
                known = [(name, column.type)]
                ordered = self._reader.fetched(connection, statement, known, exact=True, target=level.name)
                texts[name] = ordered.column(name).combine_chunks()
        return in_order(rows, (level.time, *rest), texts)

    def files(
        self, connection: Connection, level: Level, start: datetime | None, end: datetime | None
    ) -> list[ColdFile]:
        """The files that hold rows of [start, end), the oldest part first. Raises ArchiveError where there are some,
        and this process knows no place of them."""
        rows = (connection.execute(archives.cold_files(level.name, _table(level), start, end))).all()
        if rows and self._cold is None:
            self.place(level)
        return [
            ColdFile(
                row.path,
                row.sha256,
                row.rows,
                row.bytes,
                as_utc(row.earliest),
                as_utc(row.latest),
                row.part,
                Range(as_utc(row.lower), as_utc(row.upper)),
            )
            for row in rows
        ]

    @contextmanager
    def snapshot(
        self, level: Level, timeout: float | Default | None, *, local: Mapping[str, str] = _NOTHING
    ) -> Iterator[Connection]:
        """The lock comes before the snapshot: while it is held, no chunk that the snapshot still sees is taken away."""
        with self._pool.begin(
            isolation="repeatable read", timeout=timeout, operation="read", target=level.name, local=local
        ) as connection:
            executed(connection, [share_rows(level)])
            yield connection

    def place(self, level: Level) -> Cold:
        """Raises ArchiveError where this process knows none."""
        if self._cold is None:
            raise ArchiveError(
                "a part of its rows is in the archive, and this process knows no place of it",
                operation="read",
                target=level.name,
                hint="set `archive` to where they were archived to; `storekeeper archive list` says where",
            )
        return self._cold


def _table(level: Level) -> str:
    return qualified(level.schema, level.table_name)
