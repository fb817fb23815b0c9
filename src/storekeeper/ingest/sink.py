"""Where checked rows go: one transaction of one store, that ends with the block in which it is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import dialect

from storekeeper.errors import DeclarationError, InputError
from storekeeper.platform import Platform
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.copy_binary import HEADER, TRAILER, encode
from storekeeper.stores.sql.failures import translated

OnConflict: TypeAlias = Literal["error", "skip", "update"]

_STAGE = "pg_temp.storekeeper_ingest"


class Sink(Protocol):
    """Takes checked rows, all of the same columns; what became of them is known after each write."""

    @property
    def inserted(self) -> int: ...
    @property
    def updated(self) -> int: ...
    @property
    def skipped(self) -> int: ...

    def write(self, rows: Table, /) -> object: ...


@dataclass(slots=True)
class TableSink:
    """Rows of a relational table, by COPY on one connection. Rows whose primary key is there already are an error, or
    are skipped, or replace what is there."""

    platform: Platform
    connection: sa.Connection
    table: sa.Table
    on_conflict: OnConflict
    operation: str
    inserted: int = 0
    updated: int = 0
    skipped: int = 0

    def write(self, rows: Table, /) -> None:
        name = _quoted(self.table)
        if self.on_conflict == "error":
            self._copy(rows, name)
            self.inserted += rows.num_rows
            return
        with translated(self.operation, str(self.table)):
            self.connection.exec_driver_sql(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {_STAGE.split('.')[1]} (LIKE {name}) ON COMMIT DROP"
            )
            self.connection.exec_driver_sql(f"TRUNCATE {_STAGE}")
            for column in self.table.columns:  # LIKE copies NOT NULL, also of columns that are not written
                if column.name not in rows.column_names and not column.nullable:
                    self.connection.exec_driver_sql(
                        f"ALTER TABLE {_STAGE} ALTER COLUMN {_quote(column.name)} DROP NOT NULL"
                    )
        self._copy(rows, _STAGE)
        with translated(self.operation, str(self.table)):
            inserted, touched = self.connection.exec_driver_sql(self._merge(rows.column_names)).one()
        self.inserted += inserted
        self.updated += touched - inserted
        self.skipped += rows.num_rows - touched

    def _merge(self, names: list[str]) -> str:
        listed = ", ".join(map(_quote, names))
        key = [column.name for column in self.table.primary_key.columns]
        others = [name for name in names if name not in key]
        action = "DO NOTHING"
        if self.on_conflict == "update" and others:
            action = "DO UPDATE SET " + ", ".join(f"{_quote(name)} = excluded.{_quote(name)}" for name in others)
        return (
            f"WITH done AS (INSERT INTO {_quoted(self.table)} ({listed}) SELECT {listed} FROM {_STAGE} "
            f"ON CONFLICT ({', '.join(map(_quote, key))}) {action} RETURNING xmax = 0 AS fresh) "
            "SELECT count(*) FILTER (WHERE fresh), count(*) FROM done"
        )

    def _copy(self, rows: Table, name: str) -> None:
        types = [self.table.columns[column].type for column in rows.column_names]
        listed = ", ".join(map(_quote, rows.column_names))
        statement = f"COPY {name} ({listed}) FROM STDIN (FORMAT binary)"
        pool = self.platform.postgres.pool
        with pool.copy(self.connection, statement, operation=self.operation, target=str(self.table)) as copy:
            copy.write(HEADER)
            for batch in rows.to_batches():
                copy.write(encode(batch, types, header=False, trailer=False))
            copy.write(TRAILER)


@contextmanager
def _table_sink(platform: Platform, table: sa.Table, on_conflict: OnConflict, operation: str) -> Iterator[Sink]:
    if on_conflict != "error" and not table.primary_key.columns:
        raise InputError("has no key by which rows conflict", operation=operation, target=str(table))
    # a file may take longer than a service's transaction is allowed to
    with platform.postgres.begin(timeout=None, operation=operation, target=str(table)) as connection:
        yield TableSink(platform, connection, table, on_conflict, operation)


def table_of(platform: Platform, dataset: str) -> sa.Table:
    """The table of a hypertable or of a relational dataset. Raises DeclarationError where there is none."""
    tables = {f"{table.schema}.{table.name}": table for domain in platform.catalog.domains for table in domain.tables}
    tables |= {hypertable.name: hypertable.table for hypertable in platform.catalog.hypertables}
    if dataset in tables:
        return tables[dataset]
    collections = {f"{domain.name}.{collection.name}" for domain, collection in platform.catalog.collections}
    close = get_close_matches(dataset, tables, n=3, cutoff=0.5)
    raise DeclarationError(
        "is a collection: csv goes into hypertables and tables" if dataset in collections else "no such dataset",
        operation="ingest into",
        target=dataset,
        hint=f"close to it: {', '.join(close)}" if close else f"known: {', '.join(sorted(tables)) or 'none'}",
    )


def open_sink(
    platform: Platform, dataset: str, *, on_conflict: OnConflict, operation: str
) -> AbstractContextManager[Sink]:
    """One transaction for rows of this dataset: committed at the block's end, undone by an exception."""
    table = table_of(platform, dataset)
    if any(hypertable.name == dataset for hypertable in platform.catalog.hypertables):
        appending: AbstractContextManager[Sink] = platform.timescale.appending(dataset, on_conflict=on_conflict)
        return appending
    return _table_sink(platform, table, on_conflict, operation)


def _quote(name: str) -> str:
    return dialect().identifier_preparer.quote_identifier(name)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def _quoted(table: sa.Table) -> str:
    return f"{_quote(table.schema)}.{_quote(table.name)}" if table.schema else _quote(table.name)
