"""The life of relational tables: partitions, retention, expiry."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.errors import DeclarationError
from storekeeper.span import Span, months, years


@dataclass(frozen=True, slots=True)
class Yearly:
    """Partitions of a calendar year (UTC) on `column`, named transactions_2025; `ahead` of them beyond the current."""

    column: str
    ahead: int = 1

    @property
    def width(self) -> Span:
        return years(1)


@dataclass(frozen=True, slots=True)
class Monthly:
    """Partitions of a calendar month (UTC) on `column`, named log_202510 or, with `verbose`, log_y2025m10; `ahead` of
    them beyond the current."""

    column: str
    verbose: bool = False
    ahead: int = 3

    @property
    def width(self) -> Span:
        return months(1)


@dataclass(frozen=True)
class TableLifecycle:
    """How long rows of a table live.

    `keep_at_least`: nothing may delete them earlier. `drop_after`: rows whose `since` column is older go; of a
    partitioned table, whole partitions. `expires`: a column with the moment at which a row may go; rows past it are
    cleaned up at the next run. `deleted`: a column that marks a row as deleted where it is set; the ORM leaves such
    rows out of what it reads.
    """

    table: sa.Table
    partition: Yearly | Monthly | None = None
    keep_at_least: Span | None = None
    drop_after: Span | None = None
    since: str | None = None
    expires: str | None = None
    deleted: str | None = None

    def __post_init__(self) -> None:
        named = [self.since, self.expires, self.deleted, self.partition.column if self.partition else None]
        for name in named:
            if name is not None and name not in self.table.columns:
                raise DeclarationError(f"no column {name!r}", operation="declare", target=self.name)
        if self.drop_after is not None and self.since is None and self.partition is None:
            raise DeclarationError("age of rows: name a `since` column", operation="declare", target=self.name)
        if self.partition is not None:
            self._check_partition(self.partition)

    def _check_partition(self, partition: Yearly | Monthly) -> None:
        column = self.table.columns[partition.column]
        if not (isinstance(column.type, sa.DateTime) and column.type.timezone):
            raise DeclarationError(f"{column.name} must carry a time zone", operation="declare", target=self.name)
        key = self.table.primary_key.columns
        if key and column.name not in key:
            raise DeclarationError(
                f"the primary key of a partitioned table holds {column.name}", operation="declare", target=self.name
            )
        if partition.ahead < 0:
            raise DeclarationError("partitions ahead are counted from 0", operation="declare", target=self.name)

    @property
    def name(self) -> str:
        return f"{self.table.schema}.{self.table.name}"
