"""Where checked rows go: one transaction of one store. What the server refuses of them comes back as rejects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from typing import Protocol

import numpy as np
import sqlalchemy as sa

from storekeeper.catalog import Catalog, Hypertable, TableLifecycle
from storekeeper.catalog.ranges import partition_range
from storekeeper.errors import (
    BelowWatermarkError,
    CheckError,
    ConstraintError,
    DeclarationError,
    InputError,
    StoreError,
    StorekeeperError,
)
from storekeeper.ingest.options import OnConflict, Options
from storekeeper.ingest.readers.piece import Reject
from storekeeper.ingest.rows.checking import Checked
from storekeeper.ingest.rows.staging import Broken, Destination, Merged, Stage, copy_rows
from storekeeper.ledger.locks import series_lock
from storekeeper.ledger.tables import ingested_files, ingested_series_files
from storekeeper.platform import Platform
from storekeeper.stores.postgres.partitions import make_partitions
from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.stores.sql.failures import server_detail, sqlstate_of
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.transaction import BULK
from storekeeper.stores.timescale.append import Appending

#: Rows that are found by trying, not by asking; more of them, and something else is wrong.
_MOST_TRIED = 200


class Rows(Protocol):
    """The rows of one dataset, open in one transaction."""

    destination: Destination
    pool: Pool
    connection: sa.Connection
    ledger: sa.Table

    def watermark(self) -> datetime | None:
        """The time below which rows are refused."""

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
        self._platform = platform
        self._hypertable = hypertable
        self._appending = appending

    def watermark(self) -> datetime | None:
        if self._hypertable.late_rows == "keep":
            return None
        return self._platform.timescale.watermark(self._hypertable)

    def make_room(self, table: Table) -> None:
        self._appending.make_room(table)

    def put(self, table: Table) -> None:
        grouped, ranges = self._appending.make_room(table)
        self._appending.put(grouped, ranges, {})


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

    def watermark(self) -> datetime | None:
        return None

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
    with platform.postgres.begin(timeout=None, operation=operation, target=dataset) as connection:
        _prepare(connection)
        yield TableRows(platform, table, connection, operation)


class Sink:
    """Takes checked rows into the dataset, and counts what became of them.

    Rows go in as they come or, where versions decide or nothing is to be written, wait in the server until `finish`.
    Both give back what the server refused: (number of the file, reject).
    """

    def __init__(self, rows: Rows, options: Options, *, operation: str) -> None:
        """Raises InputError where the options go by a key that the dataset has not."""
        self._asked = "--version" if options.version else f"--on-conflict {options.on_conflict}"
        self._operation = operation
        self._versioned = options.version is not None
        self._on_conflict: OnConflict = options.on_conflict
        if not rows.destination.key and (self._versioned or self._on_conflict != "error"):
            raise InputError(
                f"{self._asked} goes by the key of a row, and it has none",
                operation=operation,
                target=rows.destination.name,
            )
        self.inserted = 0
        self.updated = 0
        self.skipped = 0
        self.superseded = 0
        self._rows = rows
        self._dry_run = options.dry_run
        self._stage = Stage(rows.pool, rows.connection, rows.destination, operation=operation)
        self._watermark = rows.watermark()
        self._tried = 0

    @property
    def waiting(self) -> bool:
        """Whether rows wait for `finish`."""
        return self._versioned or self._dry_run

    def write(self, rows: Checked, *, file: int = 0) -> list[tuple[int, Reject]]:
        """Takes rows in. Raises InputError where they have no key, and are to go by it."""
        self._check_has_key(rows)
        rejects: list[Reject] = []
        rows = self._without_late(rows, rejects)
        if rows.table.num_rows:
            if not self._dry_run and (self._versioned or self._on_conflict != "error"):
                self._rows.make_room(rows.table)
            if self.waiting:
                self._stage.add(rows, file=file)
            else:
                self._write(rows, rejects)
        return [(file, reject) for reject in sorted(rejects, key=lambda reject: reject.place)]

    def finish(self) -> Iterator[tuple[int, Reject]]:
        """Takes in what has waited, when all that it gives was taken."""
        if not self.waiting:
            return
        yield from _refused(self._stage.broken())
        if self._versioned:
            self.superseded += self._stage.settle_versions()
        yield from _refused(self._stage.clashing(keys_too=self._on_conflict == "error"))
        update = self._on_conflict == "update"
        if self._on_conflict == "error":
            done = Merged(self._stage.count()) if self._dry_run else self._stage.insert()
        elif self._dry_run:
            done = self._stage.foreseen(update=update)
        else:
            done = self._stage.merge(update=update)
        self._count(done)

    def _write(self, rows: Checked, rejects: list[Reject]) -> None:
        """All rows at once; where a rule is broken, the server is asked by which of them, and the others go in."""
        try:
            self._attempt(rows)
        except _Refusal:
            self._stage.clear()
            self._stage.add(rows)
            found = [*self._stage.broken(), *self._stage.clashing(keys_too=self._on_conflict == "error")]
            broken = {row.number: row.reason for row in found}
            rejects += [rows.reject(row, reason) for row, reason in broken.items()]
            rest = np.setdiff1d(np.arange(rows.table.num_rows), list(broken))
            self._by_halves(rows.only(rest), rejects)

    def _by_halves(self, rows: Checked, rejects: list[Reject]) -> None:
        """Finds the rows that are refused for a reason that cannot be asked for: a trigger's, a computed column's."""
        count = rows.table.num_rows
        if not count:
            return
        try:
            self._attempt(rows)
        except _Refusal as refusal:
            if count > 1:
                places = np.arange(count)
                self._by_halves(rows.only(places[: count // 2]), rejects)
                self._by_halves(rows.only(places[count // 2 :]), rejects)
                return
            self._tried += 1
            if self._tried > _MOST_TRIED:
                raise refusal.error from refusal.error.__cause__  # `from refusal` would close a circle
            rejects.append(rows.reject(0, refusal.reason, refusal.column))

    def _attempt(self, rows: Checked) -> None:
        """Raises _Refusal where a row is to blame: nothing of these rows is in then."""
        if self._on_conflict != "error":
            self._stage.clear()
            self._stage.add(rows)
        try:
            with self._rows.connection.begin_nested():
                if self._on_conflict == "error":
                    self._rows.put(rows.table)
                    done = Merged(rows.table.num_rows)
                else:
                    done = self._stage.merge(update=self._on_conflict == "update")
        except StorekeeperError as error:
            if not _of_a_row(error):
                raise
            raise _Refusal(error) from error
        self._count(done)

    def _without_late(self, rows: Checked, rejects: list[Reject]) -> Checked:
        time, mark = self._rows.destination.time, self._watermark
        if mark is None or time is None:
            return rows
        late = pc.less(rows.table.column(time), pa.scalar(mark, pa.timestamp("us", tz="UTC")))
        mask = late.to_numpy(zero_copy_only=False)
        if not mask.any():
            return rows
        reason = f"rows before {mark:%Y-%m-%d %H:%M:%S} UTC are gone: the rollups hold what was there"
        rejects += [rows.reject(int(row), reason, time) for row in np.flatnonzero(mask)]
        return rows.only(np.flatnonzero(~mask))

    def _check_has_key(self, rows: Checked) -> None:
        destination = self._rows.destination
        missing = [name for name in destination.key if name not in rows.table.column_names]
        if missing and (self._versioned or self._on_conflict != "error"):
            raise InputError(
                f"{self._asked} goes by the key ({', '.join(destination.key)}) of a row, and there is nothing for "
                f"{', '.join(missing)}",
                operation=self._operation,
                target=destination.name,
            )

    def _count(self, done: Merged) -> None:
        self.inserted += done.inserted
        self.updated += done.updated
        self.skipped += done.skipped


class _Refusal(Exception):  # noqa: N818  # it never leaves this module
    """The server refuses rows."""

    def __init__(self, error: StorekeeperError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def reason(self) -> str:
        detail = server_detail(self.error)
        return f"{self.error.cause}: {detail}" if detail else self.error.cause

    @property
    def column(self) -> str | None:
        return getattr(self.error, "column", "") or None


def _of_a_row(error: StorekeeperError) -> bool:
    """Whether another row might have been taken: constraints, values, what triggers raise."""
    if isinstance(error, CheckError) and not error.constraint:
        return True
    if isinstance(error, (ConstraintError, BelowWatermarkError)):
        return True
    code = sqlstate_of(error) or ""
    return isinstance(error, (InputError, StoreError)) and code.startswith(("22", "P0"))


def _refused(broken: Iterator[Broken]) -> Iterator[tuple[int, Reject]]:
    for row in broken:
        yield row.file, Reject(row.place, row.reason, row.text)


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
    collections = [f"{domain.name}.{collection.name}" for domain, collection in catalog.collections]
    known = sorted([*tables, *collections])
    close = get_close_matches(dataset, known, n=3, cutoff=0.5)
    raise DeclarationError(
        "no such dataset",
        operation="ingest into",
        target=dataset,
        hint=f"close to it: {', '.join(close)}" if close else f"known: {', '.join(known) or 'none'}",
    )
