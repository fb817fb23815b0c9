# Generated from lending_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Statements of others over both tiers: rows of files are lent to the server, in a temporary table, stretch by stretch.

So comparisons, texts and their order are the server's for archived rows too. Values go there as CSV, which every type
of a column can be read from.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from operator import call as to_thread

import sqlalchemy as sa
from sqlalchemy import Connection

from storekeeper.catalog import Hypertable, Range
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed
from storekeeper.stores.sql.transaction import Default
from storekeeper.stores.timescale.cold import Wanted, wanted_of
from storekeeper.stores.timescale.tiers import Tiers
from storekeeper.timescale.archived import LENT, copy_lent, empty_lent, lend
from storekeeper.timescale.levels import Level
from storekeeper.timescale.tiers import Segment


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, and the level whose table has its rows, for statements on this connection."""

    connection: Connection
    level: Level
    range: Range


class Lending:
    """Shows rows of datasets that are archived as tables of the server."""

    def __init__(self, pool: Pool, tiers: Tiers) -> None:
        self._pool = pool
        self._tiers = tiers

    @contextmanager
    def stretches(
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
    ) -> Iterator[Iterator[Stretch]]:
        """The stretches of [start, end) that may hold rows, in order of time or in the opposite order, in one snapshot:
        each to be read before the next one is asked for. With `archived`, only those that files have a part in."""
        wanted = wanted_of(level, columns, where, exact=True, zone="UTC")
        with (
            self._tiers.snapshot(level, timeout, local=local) as connection,
            closing(self._each(connection, level, wanted, start, end, newest_first, archived)) as found,
        ):
            yield found

    def _each(
        self,
        connection: Connection,
        level: Level,
        wanted: Wanted,
        start: datetime | None,
        end: datetime | None,
        newest_first: bool,
        archived: bool,
    ) -> Generator[Stretch, None]:
        segments = self._tiers.segments(connection, level, start, end)
        lent = Level(lent_of(level.hypertable), 0)
        made = False
        for segment in reversed(segments) if newest_first else segments:
            if segment.files:
                columns = [column.name for column in wanted.columns]
                executed(connection, empty_lent() if made else lend(level, columns))
                made = True
                self._lend(connection, level, wanted, segment)
                yield Stretch(connection, lent, segment.range)
            elif not archived:
                yield Stretch(connection, level, segment.range)

    def _lend(self, connection: Connection, level: Level, wanted: Wanted, segment: Segment) -> None:
        rows = self._tiers.segment(connection, level, wanted, segment)
        if not rows.num_rows:
            return
        statement = copy_lent(rows.column_names, "csv")
        with self._pool.copy(connection, statement, operation="read", target=level.name) as copy:
            copy.write(to_thread(as_csv, rows))


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
