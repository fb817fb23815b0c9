# Generated from append_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows in: checked as columns, chunks made, then one transaction that takes all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from operator import call as to_thread
from typing import Final, TypeAlias

import psycopg
from sqlalchemy import Connection

from storekeeper.catalog import Hypertable, Range
from storekeeper.errors import CheckError, ConflictError, InputError, UniqueError
from storekeeper.ledger import series
from storekeeper.stores.sql.ahead import Ahead
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.intake import Rows
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.batches import (
    Part,
    earliest_of,
    latest_of,
    merge_key,
    parts,
    rows_before,
    without_repeats,
)
from storekeeper.stores.timescale.checked import Checked, checked
from storekeeper.stores.timescale.chunk_maker import ChunkMaker, lacks_chunk
from storekeeper.stores.timescale.grouped import Grouped, grouped
from storekeeper.stores.timescale.together import Together
from storekeeper.stores.timescale.values import Appended, OnConflict
from storekeeper.timescale.incoming import (
    analyze_staged,
    copy_into,
    copy_staged,
    direct,
    empty_staged,
    insert_staged,
    key_order,
    merge_staged,
    segment_order,
    staged,
)
from storekeeper.timescale.levels import Level

#: What is called with the rows of a call, once they are committed.
OnWritten: TypeAlias = Callable[[Table], None]

#: Attempts when retention takes a chunk away between its making and the rows' arrival.
_ATTEMPTS: Final = 3
#: Rows that are staged and merged at once: the server hashes them in memory.
_MERGED_AT_ONCE: Final = 200_000
#: From so many rows on they are encoded in a thread, while those before them are on their way.
_MANY: Final = 50_000
#: What a server may be set to beyond it would refuse rows that came while this one waited for their lock.
_ISOLATION: Final = "read committed"
#: How long one of several transactions waits for a lock.
_TOGETHER: Final = {"lock_timeout": "10s"}


class Appending:
    """Rows of one hypertable on their way into one transaction, in as many calls as it takes.

    `inserted`, `updated`, `skipped` count what was written so far.
    """

    def __init__(
        self,
        pool: Pool,
        chunks: ChunkMaker,
        connection: Connection,
        hypertable: Hypertable,
        on_conflict: OnConflict,
    ) -> None:
        self.inserted = 0
        self.updated = 0
        self.skipped = 0
        self._pool = pool
        self._chunks = chunks
        self._connection = connection
        self._level = Level(hypertable, 0)
        self._on_conflict: OnConflict = on_conflict
        self._order = key_order(hypertable)
        self._staged = False

    def write(self, rows: Rows, *, round_to: Mapping[str, int] | None = None) -> Appended:
        """Checks rows and writes them, chunks made as needed. Errors: as AsyncTimescale.append."""
        hypertable = self._level.hypertable

        given = to_thread(checked, rows, hypertable, round_to)
        if not given.table.num_rows:
            return Appended(0, 0)
        return self.put(self.make_room(given.table), given.rounded, given.flagged)

    @property
    def connection(self) -> Connection:
        """The transaction's, for what belongs into the same one."""
        return self._connection

    def make_room(self, table: Table) -> Grouped:
        """Makes the chunks that checked rows need, in transactions of their own: the rows, as `put` takes them. Raises
        BelowWatermarkError."""
        hypertable = self._level.hypertable
        rows = to_thread(grouped, table, hypertable, self._order)
        self._chunks.ensure(self._level, rows.ranges, earliest=earliest_of(table, hypertable.time))
        return rows

    def put(
        self,
        rows: Grouped,
        rounded: Mapping[str, int],
        flagged: Mapping[str, int] | None = None,
        *,
        straight: Mapping[Range, bool] | None = None,
    ) -> Appended:
        """Writes checked rows, whose chunks are there.

        `straight` writes into the columnstore, and says for which chunks these are the first rows: in its order then.
        """
        try:
            with self._pool.naming("append", self._level.name):
                done = self._written(rows, straight, rounded, flagged or {})
        except UniqueError as error:
            raise _naming_the_key(error) from error
        if self._level.hypertable.late_rows == "keep":
            done = replace(done, late=self._late(rows))
        self.inserted += done.inserted
        self.updated += done.updated
        self.skipped += done.skipped
        return done

    def _written(
        self,
        rows: Grouped,
        straight: Mapping[Range, bool] | None,
        rounded: Mapping[str, int],
        flagged: Mapping[str, int],
    ) -> Appended:
        if self._on_conflict != "error":
            return self._merge(rows, rounded, flagged)
        if self._chunks.engine.copies_late:
            self._copy_chunks(rows, straight)
        else:
            self._insert(rows)
        return Appended(rows.count, rows.count, rounded=rounded, flagged=flagged)

    def _late(self, rows: Grouped) -> int:
        """How many of these rows lie below the watermark. The triggers share its lock until this transaction ends."""
        row = (self._connection.execute(series.watermark(self._level.name))).first()
        mark = None if row is None else row.dropped_before
        return 0 if mark is None else sum(rows_before(part, self._level.time, mark) for part in rows.below(mark))

    def _copy_chunks(self, rows: Grouped, straight: Mapping[Range, bool] | None) -> None:
        """One COPY a chunk: within a COPY the server extends each next chunk by what all before it took, up to half a
        megabyte, however few rows come to it."""
        names = rows.table.column_names
        self._send(copy_into(self._level, names), rows.each(), rows.count, straight)

    def _insert(self, given: Grouped) -> None:
        """Through a temporary table, some chunks at a time, where COPY into the table is not safe."""
        names = given.table.column_names
        pieces = given.several(_MERGED_AT_ONCE)
        while (rows := to_thread(next, pieces, None)) is not None:
            self._stage(rows, names)
            executed(self._connection, insert_staged(self._level, names))

    def _stage(self, rows: Table, names: Sequence[str]) -> None:
        """These rows, and no others, into the temporary table."""
        executed(self._connection, empty_staged() if self._staged else staged(self._level, names))
        self._staged = True
        self._send(copy_staged(names), [(None, rows)], rows.num_rows)

    def _send(
        self,
        statement: str,
        streams: Iterable[tuple[Range | None, Table]],
        rows: int,
        straight: Mapping[Range, bool] | None = None,
    ) -> None:
        """A COPY for each table. Many rows are put in order and encoded in a thread, while those before them are on
        their way."""
        level = self._level
        with ExitStack() as stack:
            made = parts(streams, level.table)
            ahead = stack.enter_context(Ahead(made)) if rows >= _MANY else None

            def following() -> Part | None:
                return next(made, None) if ahead is None else ahead.take()

            part = following() if ahead is None else to_thread(following)
            while part is not None:
                if straight is not None and part.chunk is not None:
                    executed(self._connection, direct(in_order=straight[part.chunk]))
                with self._pool.copy(self._connection, statement, operation="append", target=level.name) as copy:
                    copy.write(part.block)
                    while not part.last:
                        part = following() if ahead is None else to_thread(following)
                        assert part is not None, "a stream has a last part"
                        copy.write(part.block)
                part = following() if ahead is None else to_thread(following)

    def _merge(self, given: Grouped, rounded: Mapping[str, int], flagged: Mapping[str, int]) -> Appended:
        """Through a temporary table, some chunks at a time: rows of one key within the call are one row, then the
        server settles the rest."""
        level, names = self._level, given.table.column_names
        update = self._on_conflict == "update"
        key = merge_key(level.hypertable)
        inserted = updated = 0
        pieces = given.several(_MERGED_AT_ONCE)
        while (rows := to_thread(next, pieces, None)) is not None:
            if key is not None:
                rows = without_repeats(rows, key, "last" if update else "first")  # fewer of the same
            self._stage(rows, names)
            executed(self._connection, analyze_staged(level))
            bounds = earliest_of(rows, level.time), latest_of(rows, level.time)
            merged = inspected(
                self._connection, merge_staged(level, names, *bounds, update=update, repeated=key is None)
            )
            inserted += merged.written - merged.updated
            updated += merged.updated
        return Appended(given.count, inserted, updated, given.count - inserted - updated, rounded, flagged)


class Appender:
    """Takes rows into hypertables."""

    def __init__(self, pool: Pool, chunks: ChunkMaker) -> None:
        self._pool = pool
        self._chunks = chunks

    def append(
        self,
        hypertable: Hypertable,
        rows: Rows,
        *,
        round_to: Mapping[str, int] | None,
        on_conflict: OnConflict,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
        connections: int = 1,
        on_written: OnWritten | None = None,
    ) -> Appended:
        """All rows in one transaction, run again after a deadlock. Errors: as AsyncTimescale.append."""
        written, table, _ = self.put(
            hypertable, rows, round_to=round_to, on_conflict=on_conflict, timeout=timeout, connections=connections
        )
        if on_written is not None and table is not None:
            on_written(table)
        return written

    def put(
        self,
        hypertable: Hypertable,
        rows: Rows,
        *,
        round_to: Mapping[str, int] | None,
        on_conflict: OnConflict,
        timeout: float | Default | None,  # the server's, of the transaction
        connections: int = 1,
        straight: bool = False,
        first_row: int = 0,
    ) -> tuple[Appended, Table | None, tuple[Range, ...]]:
        """`append`: (what became of the rows, the rows as they were checked, the chunks that they are in).

        `straight` goes into the columnstore, in its order.
        """
        level = Level(hypertable, 0)
        _check_key(hypertable, on_conflict)
        self._check_connections(level, connections)

        def prepared() -> tuple[Checked, Grouped]:
            given = checked(rows, hypertable, round_to, first_row=first_row)
            order = segment_order(hypertable) if straight else key_order(hypertable)
            return given, grouped(given.table, hypertable, order)

        given, by_chunk = to_thread(prepared)
        if not by_chunk.count:
            return Appended(0, 0), None, ()
        ranges, works = by_chunk.ranges, by_chunk.shares(connections)
        earliest = earliest_of(given.table, level.time)
        for attempt in range(_ATTEMPTS):
            # asked anew: a chunk that the server made for one would hold up the others, and only one that is made now
            # is known to be empty
            if len(works) > 1 or straight:
                self._chunks.forget(level)
            made = self._chunks.ensure(level, ranges, earliest=earliest)
            first = {chunk: chunk in made for chunk in ranges}
            try:
                writing = self._at_once if len(works) > 1 else self._in_one
                written = writing(hypertable, works, on_conflict, timeout, first if straight else None)
                break
            except CheckError as error:
                self._chunks.forget(level)
                if not lacks_chunk(error):
                    raise
                if attempt == _ATTEMPTS - 1:  # nothing is wrong with the rows
                    raise ConflictError(
                        error.cause,
                        operation="append",
                        target=level.name,
                        hint="retention takes away the chunk as soon as it is made: try again later",
                    ) from error
        return replace(written, rounded=given.rounded, flagged=given.flagged), given.table, ranges

    def _in_one(
        self,
        hypertable: Hypertable,
        works: Sequence[Grouped],
        on_conflict: OnConflict,
        timeout: float | Default | None,  # the server's, of the transaction
        straight: Mapping[Range, bool] | None,
    ) -> Appended:
        (work,) = works

        def write(connection: Connection) -> Appended:
            appending = Appending(self._pool, self._chunks, connection, hypertable, on_conflict)
            return appending.put(work, {}, straight=straight)

        return self._pool.run(write, timeout=timeout, operation="append", target=hypertable.name, isolation=_ISOLATION)

    def _at_once(
        self,
        hypertable: Hypertable,
        works: Sequence[Grouped],
        on_conflict: OnConflict,
        timeout: float | Default | None,  # the server's, of the transaction
        straight: Mapping[Range, bool] | None,
    ) -> Appended:
        """Each in a transaction of its own, none of which is committed before all rows are written.

        One that waits for a lock of another would wait for ever, and the server sees no deadlock: it gives up.
        """
        together = Together(len(works))

        def write(work: Grouped) -> Appended:
            with self._pool.begin(
                timeout=timeout, operation="append", target=hypertable.name, isolation=_ISOLATION, local=_TOGETHER
            ) as connection:
                appending = Appending(self._pool, self._chunks, connection, hypertable, on_conflict)
                done = appending.put(work, {}, straight=straight)
                together.all_here()
            return done

        written = together.run([partial(write, work) for work in works])
        return sum(written, Appended(0, 0))

    def _check_connections(self, level: Level, connections: int) -> None:
        most = self._pool.settings.size + self._pool.settings.overflow
        if not 1 <= connections <= most:
            raise InputError(
                f"{connections} connections: the pool has {most}",
                operation="append",
                target=level.name,
                hint="two are what a bulk load gains by; raise the size of the pool for more",
            )

    @contextmanager
    def appending(
        self,
        hypertable: Hypertable,
        *,
        on_conflict: OnConflict,
        timeout: float | Default | None,  # the server's, of the transaction
    ) -> Iterator[Appending]:
        """One transaction that rows are written into, as long as the block runs."""
        _check_key(hypertable, on_conflict)
        # a chunk that is remembered and gone would fail the transaction; once it has written, none of its chunks goes
        self._chunks.forget(Level(hypertable, 0))
        with self._pool.begin(
            timeout=timeout, operation="append", target=hypertable.name, isolation=_ISOLATION
        ) as connection:
            yield Appending(self._pool, self._chunks, connection, hypertable, on_conflict)


def _check_key(hypertable: Hypertable, on_conflict: OnConflict) -> None:
    if on_conflict != "error" and not hypertable.natural_key:
        raise InputError(
            f'on_conflict="{on_conflict}" goes by the natural key, and it has none',
            operation="append",
            target=hypertable.name,
        )


def _naming_the_key(error: UniqueError) -> UniqueError:
    """Says which row was there already: the server names its key in the detail of the message."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, psycopg.Error):
        cause = getattr(cause, "orig", None) or cause.__cause__
    detail = cause.diag.message_detail if isinstance(cause, psycopg.Error) else None
    return UniqueError(
        (detail or error.cause).rstrip("."),
        operation="append",
        target=error.target,
        hint='on_conflict="skip" leaves such rows out, "update" takes the new ones',
        constraint=error.constraint,
    )
