# Generated from append_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows in: checked as columns, chunks made, then one transaction that takes all of them or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import Connection

from storekeeper.catalog import Hypertable, Range
from storekeeper.errors import CheckError, InputError, UniqueError
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.intake import Rows, to_batches
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.batches import chunks_of, each_chunk, earliest_of, encoded, latest_of
from storekeeper.stores.timescale.chunk_maker import ChunkMaker, lacks_chunk
from storekeeper.stores.timescale.values import Appended, OnConflict
from storekeeper.timescale.incoming import copy_into, copy_staged, count_keys, empty_staged, staged, write_staged
from storekeeper.timescale.levels import Level

#: Attempts when retention takes a chunk away between its making and the rows' arrival.
_ATTEMPTS: Final = 3


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
        self._staged = False

    def write(self, rows: Rows, *, round_to: Mapping[str, int] | None = None) -> Appended:
        """Checks rows and writes them, chunks made as needed. Errors: as AsyncTimescale.append."""
        hypertable = self._level.hypertable
        intake = to_batches(rows, hypertable.table, operation="append", target=hypertable.name, round_to=round_to)
        if not intake.table.num_rows:
            return Appended(0, 0)
        table, ranges = self.make_room(intake.table)
        return self.put(table, ranges, intake.rounded)

    @property
    def connection(self) -> Connection:
        """The transaction's, for what belongs into the same one."""
        return self._connection

    def make_room(self, table: Table) -> tuple[Table, tuple[Range, ...]]:
        """Makes the chunks that checked rows need, in transactions of their own: (the rows grouped by them, their
        ranges), as `put` takes them. Raises BelowWatermarkError."""
        hypertable = self._level.hypertable
        table, ranges = chunks_of(table, hypertable.time, hypertable.chunk)
        self._chunks.ensure(self._level, ranges, earliest=earliest_of(table, hypertable.time))
        return table, ranges

    def put(self, table: Table, ranges: Sequence[Range], rounded: Mapping[str, int]) -> Appended:
        """Writes checked rows, grouped by the chunks of these ranges, which are there."""
        try:
            if self._on_conflict == "error":
                # One COPY a chunk: within a COPY the server extends each next chunk by what all before it took, up to
                # half a megabyte, however few rows come to it.
                for rows in each_chunk(table, ranges, self._level.time):
                    self._copy(copy_into(self._level, table.column_names), rows)
                done = Appended(table.num_rows, table.num_rows, rounded=rounded)
            else:
                done = self._merge(table, rounded)
        except UniqueError as error:
            raise _naming_the_key(error) from error
        self.inserted += done.inserted
        self.updated += done.updated
        self.skipped += done.skipped
        return done

    def _copy(self, statement: str, table: Table) -> None:
        with self._pool.copy(self._connection, statement, operation="append", target=self._level.name) as copy:
            for block in encoded(table, self._level.table):
                copy.write(block)

    def _merge(self, table: Table, rounded: Mapping[str, int]) -> Appended:
        """Through a temporary table: rows of one key within the call are one row, then the server settles the rest."""
        level, names = self._level, table.column_names
        update = self._on_conflict == "update"
        executed(self._connection, empty_staged() if self._staged else staged(level, names))
        self._staged = True
        self._copy(copy_staged(names), table)
        # the server tells an update from an insert only by a system column, which a partitioned table cannot return
        bounds = earliest_of(table, level.time), latest_of(table, level.time)
        keys = inspected(self._connection, count_keys(level, *bounds)) if update else None
        written = executed(self._connection, write_staged(level, names, update=update))
        inserted = min(written, keys.staged - keys.there) if keys else written
        return Appended(table.num_rows, inserted, written - inserted, table.num_rows - written, rounded)


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
    ) -> Appended:
        """All rows in one transaction, run again after a deadlock. Errors: as AsyncTimescale.append."""
        level = Level(hypertable, 0)
        _check_key(hypertable, on_conflict)
        intake = to_batches(rows, hypertable.table, operation="append", target=level.name, round_to=round_to)
        if not intake.table.num_rows:
            return Appended(0, 0)
        table, ranges = chunks_of(intake.table, hypertable.time, hypertable.chunk)
        earliest = earliest_of(table, hypertable.time)

        def write(connection: Connection) -> Appended:
            appending = Appending(self._pool, self._chunks, connection, hypertable, on_conflict)
            return appending.put(table, ranges, intake.rounded)

        for attempt in range(_ATTEMPTS):
            self._chunks.ensure(level, ranges, earliest=earliest)
            try:
                return self._pool.run(write, timeout=timeout, operation="append", target=level.name)
            except CheckError as error:
                self._chunks.forget(level)
                if not lacks_chunk(error) or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("a loop that ends by return or raise has ended")

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
        with self._pool.begin(timeout=timeout, operation="append", target=hypertable.name) as connection:
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
