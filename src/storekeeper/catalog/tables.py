"""The life of relational tables: partitions, retention, expiry."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.errors import DeclarationError
from storekeeper.span import Span


@dataclass(frozen=True, slots=True)
class Yearly:
    """Partitions of a calendar year (UTC) on `column`, named transactions_2025."""

    column: str


@dataclass(frozen=True, slots=True)
class Monthly:
    """Partitions of a calendar month (UTC) on `column`, named log_202510 or, with `verbose`, log_y2025m10."""

    column: str
    verbose: bool = False


@dataclass(frozen=True)
class TableLifecycle:
    """How long rows of a table live.

    `keep_at_least`: nothing may delete them earlier. `drop_after`: rows whose `since` column is older go.
    `expires`: a column with the moment at which a row may go; rows past it are cleaned up at the next run.
    """

    table: sa.Table
    partition: Yearly | Monthly | None = None
    keep_at_least: Span | None = None
    drop_after: Span | None = None
    since: str | None = None
    expires: str | None = None

    def __post_init__(self) -> None:
        named = [self.since, self.expires, self.partition.column if self.partition else None]
        for name in named:
            if name is not None and name not in self.table.columns:
                raise DeclarationError(f"no column {name!r}", operation="declare", target=self.name)
        if self.drop_after is not None and self.since is None and self.partition is None:
            raise DeclarationError("age of rows: name a `since` column", operation="declare", target=self.name)

    @property
    def name(self) -> str:
        return f"{self.table.schema}.{self.table.name}"
