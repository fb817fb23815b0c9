"""The rows of one dataset, open in one transaction: where they lie, and how room is made for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from typing import Protocol

import sqlalchemy as sa

from storekeeper.catalog import Catalog, Hypertable, TableLifecycle
from storekeeper.catalog.ranges import partition_range
from storekeeper.errors import DeclarationError
from storekeeper.ingest.rows.staging import Destination, copy_rows
from storekeeper.ledger.locks import series_lock
from storekeeper.ledger.tables import ingested_files, ingested_series_files
from storekeeper.platform import Platform
from storekeeper.stores.postgres.partitions import make_partitions
from storekeeper.stores.sql.arrow import Table, pc
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.transaction import BULK
from storekeeper.stores.timescale.append import Appending
from storekeeper.stores.timescale.flagging import flag_counts


class Rows(Protocol):
    """The rows of one dataset, open in one transaction."""

    destination: Destination
    pool: Pool
    connection: sa.Connection
    ledger: sa.Table
    #: The column whose time says to which chunk or partition a row goes; None of a table without any.
    placed_by: str | None

    def watermark(self) -> datetime | None:
        """The time below which rows are refused."""

    def flagged(self, table: Table) -> Mapping[str, int]:
        """How many of these rows each declared flag marks."""
        ...

    def make_room(self, table: Table) -> None:
        """Makes the chunks or partitions that these rows need, in transactions of their own."""

    def put(self, table: Table) -> None:
        """Makes room for rows and writes them by COPY; a key that is there already is an error."""


class SeriesRows:
    """Those of a hypertable."""

    ledger = ingested_series_files

    def __init__(self, platform: Platform, hypertable: Hypertable, appending: Appending) -> None:
        self.destination = Destination(hypertable.table, tuple(hypertable.natural_key), hypertable.time)
        self.pool = platform.timescale.pool
        self.connection = appending.connection
        self.placed_by: str | None = hypertable.time
        self._platform = platform
        self._hypertable = hypertable
        self._appending = appending

    def watermark(self) -> datetime | None:
        if self._hypertable.late_rows == "keep":
            return None
        return self._platform.timescale.watermark(self._hypertable)

    def flagged(self, table: Table) -> Mapping[str, int]:
        return flag_counts(table, self._hypertable)

    def make_room(self, table: Table) -> None:
        self._appending.make_room(table)

    def put(self, table: Table) -> None:
        self._appending.put(self._appending.make_room(table), {})


class TableRows:
    """Those of a relational table."""

    ledger = ingested_files

    def __init__(self, platform: Platform, table: sa.Table, connection: sa.Connection, operation: str) -> None:
        self.destination = Destination(table, tuple(column.name for column in table.primary_key.columns))
        self.pool = platform.postgres.pool
        self.connection = connection
        self._platform = platform
        self._operation = operation
        self._lifecycle = _partitioned(platform, table)
        partition = None if self._lifecycle is None else self._lifecycle.partition
        self.placed_by = None if partition is None else partition.column

    def watermark(self) -> datetime | None:
        return None

    def flagged(self, table: Table) -> Mapping[str, int]:
        return {}

    def make_room(self, table: Table) -> None:
        lifecycle = self._lifecycle
        if lifecycle is None or lifecycle.partition is None or lifecycle.partition.column not in table.column_names:
            return
        months = pc.unique(pc.floor_temporal(table.column(lifecycle.partition.column), unit="month"))
        partition = lifecycle.partition
        make_partitions(
            self._platform.postgres,
            lifecycle,
            {partition_range(partition, month) for month in months.to_pylist() if month is not None},
        )

    def put(self, table: Table) -> None:
        self.make_room(table)
        types = [self.destination.table.columns[name].type for name in table.column_names]
        copy_rows(
            self.pool,
            self.connection,
            self.destination.quoted,
            table,
            types,
            operation=self._operation,
            target=self.destination.name,
        )


@contextmanager
def open_rows(platform: Platform, dataset: str, *, operation: str) -> Iterator[Rows]:
    """One transaction for rows of a dataset: committed at the block's end, undone by an exception.

    It may take longer than a service's transaction is allowed to. Raises DeclarationError.
    """
    table = table_of(platform.catalog, dataset)
    for hypertable in platform.catalog.hypertables:
        if hypertable.name == dataset:
            with platform.timescale.appending(dataset) as appending:
                _prepare(appending.connection)
                # its watermark stands still from here on
                appending.connection.execute(series_lock(dataset).in_transaction(shared=True))
                yield SeriesRows(platform, hypertable, appending)
            return
    # the server takes no COPY into a table under row-level security but from its owner
    local = platform.postgres.as_owner
    with platform.postgres.begin(timeout=None, operation=operation, target=dataset, local=local) as connection:
        _prepare(connection)
        yield TableRows(platform, table, connection, operation)


def _prepare(connection: sa.Connection) -> None:
    """Long statements are no news here, and what is deferred to the transaction's end could name no row."""
    connection.execution_options(**{BULK: True})
    connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))


def _partitioned(platform: Platform, table: sa.Table) -> TableLifecycle | None:
    return next(
        (rule for rule in platform.catalog.lifecycles if rule.table is table and rule.partition is not None), None
    )


def table_of(catalog: Catalog, dataset: str) -> sa.Table:
    """The table of a hypertable or of a relational dataset. Raises DeclarationError where there is none."""
    tables = {f"{table.schema}.{table.name}": table for domain in catalog.domains for table in domain.tables}
    tables |= {hypertable.name: hypertable.table for hypertable in catalog.hypertables}
    if dataset in tables:
        return tables[dataset]
    for hypertable in catalog.hypertables:
        for rollup in hypertable.rollups:
            if dataset == f"{hypertable.table.schema}.{rollup.name}":
                raise DeclarationError(
                    f"is a rollup: it is made of the rows of {hypertable.name}",
                    operation="ingest into",
                    target=dataset,
                    hint=f"ingest into {hypertable.name}",
                )
    collections = [f"{domain.name}.{collection.name}" for domain, collection in catalog.collections]
    known = sorted([*tables, *collections])
    close = get_close_matches(dataset, known, n=3, cutoff=0.5)
    raise DeclarationError(
        "no such dataset",
        operation="ingest into",
        target=dataset,
        hint=f"close to it: {', '.join(close)}" if close else f"known: {', '.join(known) or 'none'}",
    )
