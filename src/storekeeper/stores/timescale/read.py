# Generated from read_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows out, as Arrow: by COPY in binary, block by block, each read in one snapshot of the store."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from datetime import datetime
from operator import call as to_thread
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from storekeeper.catalog import Hypertable
from storekeeper.stores.sql.arrow import RecordBatch, Table
from storekeeper.stores.sql.copy_blocks import REST, Block, Blocks
from storekeeper.stores.sql.copy_decode import Decoder
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.answers import decoder_of, table_of
from storekeeper.stores.timescale.cold import Wanted, wanted_of
from storekeeper.stores.timescale.lately import Lately
from storekeeper.stores.timescale.streaming import Batches
from storekeeper.timescale.archived import share_rows
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.rows import count_of_keys, read_columns, select_latest, select_rows, share_range
from storekeeper.timescale.statement import Statement
from storekeeper.timescale.tiers import by_chunk

#: Rows of a block: what decoding them touches stays in the processor's cache.
_BLOCK: Final = 8192


class Reader:
    """Reads series. `shown`: rollups by the views through which services see them."""

    def __init__(self, pool: Pool, engine: Engine, *, shown: bool = False) -> None:
        self._pool = pool
        self._engine = engine
        self._shown = shown
        self._lately = Lately()

    def rows(
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
        zone: str,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
    ) -> Table:
        level = replace(level, shown=self._shown)
        chosen = read_columns(level, columns)
        statement = select_rows(
            level, chosen, start=start, end=end, where=where, limit=limit, newest_first=newest_first
        )
        first = self._sharing(level, start, end)
        with self._pool.begin(timeout=timeout, operation="read", target=level.name, first=first) as connection:
            return self._read(connection, statement, _decoder(chosen, exact, zone, "read", level.name))

    def stream(
        self,
        level: Level,
        *,
        start: datetime | None,
        end: datetime | None,
        where: Mapping[str, Sequence[object]] | None,
        columns: Sequence[str] | None,
        exact: bool,
        zone: str,
        batch_rows: int,
        timeout: float | Default | None,  # the server's, of the transaction
        at_once: bool,
    ) -> Batches:
        """`at_once`: by one statement, which needs no lock on the table; else a chunk at a time."""
        wanted = wanted_of(level, columns, where, exact=exact, zone=zone)
        if not at_once:
            return Batches(self._streamed(level, wanted, start, end, batch_rows, timeout), wanted.schema)
        level = replace(level, shown=self._shown)
        statement = select_rows(level, wanted.columns, start=start, end=end, where=where, limit=None)
        first = self._sharing(level, start, end)
        transaction = self._pool.begin(timeout=timeout, operation="read", target=level.name, first=first)
        return Batches(self._batches(transaction, statement, wanted.decoder, batch_rows), wanted.schema)

    def _sharing(self, level: Level, start: datetime | None, end: datetime | None) -> str:
        return share_range(level, start, end) if self._engine.columnstore else ""

    def _streamed(
        self,
        level: Level,
        wanted: Wanted,
        start: datetime | None,
        end: datetime | None,
        most: int,
        timeout: float | Default | None,
    ) -> Generator[RecordBatch, None]:
        """The lock comes before the snapshot: while it is held, no chunk that the snapshot still sees is taken away."""
        with self._pool.begin(
            isolation="repeatable read", timeout=timeout, operation="read", target=level.name
        ) as connection:
            executed(connection, [share_rows(level)])
            with closing(self.reading_by_chunk(connection, level, wanted, start=start, end=end, most=most)) as found:
                for batch in found:
                    if batch.num_rows:
                        yield batch

    def reading_by_chunk(
        self,
        connection: Connection,
        level: Level,
        wanted: Wanted,
        *,
        start: datetime | None,
        end: datetime | None,
        most: int,
    ) -> Generator[RecordBatch, None]:
        """What `reading` gives, a chunk at a time: the server sorts no more than that before the first row. In a
        snapshot that this connection holds."""
        chunks = inspected(connection, self._engine.chunks(level))
        for piece in by_chunk(start, end, chunks):
            reading = self.reading(
                connection,
                level,
                wanted,
                start=piece.lower,
                end=piece.upper,
                limit=None,
                newest_first=False,
                most=most,
            )
            with closing(reading) as found:
                for batch in found:
                    if batch.num_rows:
                        yield batch

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
    ) -> Generator[RecordBatch, None]:
        """Rows in the transaction of this connection, `most` at a time or fewer; to be closed where one stops early."""
        statement = select_rows(
            replace(level, shown=self._shown),
            wanted.columns,
            start=start,
            end=end,
            where=wanted.where,
            limit=limit,
            newest_first=newest_first,
        )
        return self._batches(nullcontext(connection), statement, wanted.decoder, most)

    def latest(self, hypertable: Hypertable, keys: Sequence[object] | None, *, exact: bool, zone: str) -> Table:
        """One statement. Where all rows that it found the last time are in the newest chunks, those are looked at
        alone, and the others only if a key is missing: planning for a chunk takes longer than a look at it."""
        decoder = _decoder(tuple(hypertable.table.columns), exact, zone, "read latest", hypertable.name)
        earliest = self._lately.earliest(hypertable) if keys is not None else None
        statement = select_latest(hypertable, keys, earliest=earliest)
        asked = count_of_keys(statement)
        with self._pool.begin(operation="read latest", target=hypertable.name) as connection:
            found = self._read(connection, statement, decoder)
            if earliest is not None and found.num_rows < asked:
                found = self._read(connection, select_latest(hypertable, keys), decoder)
        if keys is not None:
            self._lately.note(hypertable, found, asked)
        return found

    def fetched(
        self,
        connection: Connection,
        statement: Statement,
        columns: Sequence[tuple[str, sa.types.TypeEngine[Any]]],
        *,
        exact: bool,
        target: str = "the answer",
        cast: bool = True,
    ) -> Table:
        """All rows of a statement that selects these columns as `as_read` does; with `cast` false, NUMERIC as it is
        even where it shall become a float."""
        return self._read(
            connection, statement, decoder_of(columns, exact=exact, cast=cast, operation="read", target=target)
        )

    def _read(self, connection: Connection, statement: Statement, decoder: Decoder) -> Table:
        found: list[RecordBatch] = []
        with closing(self._batches(nullcontext(connection), statement, decoder, _BLOCK)) as batches:
            for batch in batches:
                found += (batch,)
        return table_of(found, decoder.schema)

    def _batches(
        self,
        connecting: AbstractContextManager[Connection],
        statement: Statement,
        decoder: Decoder,
        most: int,
    ) -> Generator[RecordBatch, None]:
        """The rows of a statement, `most` at a time or fewer. Whoever stops early closes it: the server is told to
        stop, and what it has sent is thrown away."""
        with connecting as connection:
            query = statement.clause().compile(dialect=connection.dialect)
            copying = f"COPY ({query}) TO STDOUT (FORMAT binary, ENCODING 'UTF8')"
            with self._pool.copy(
                connection, copying, query.params, operation=decoder.operation, target=decoder.target
            ) as copy:
                blocks = Blocks(copy.connection.pgconn)
                while not blocks.ended:
                    block = Block()
                    while copy.connection.wait(blocks.fill(block, most)):
                        time.sleep(REST)
                    if block.lengths:  # the server goes on meanwhile, as far as the socket holds it
                        yield to_thread(decoder.decode, block)
                copy.read()


def _decoder(columns: Sequence[sa.Column[Any]], exact: bool, zone: str, operation: str, target: str) -> Decoder:
    named = [(column.name, column.type) for column in columns]
    return decoder_of(named, exact=exact, zone=zone, cast=False, operation=operation, target=target)
