"""Backup policies: what is backed up, how often, and how long it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storekeeper.errors import DeclarationError
from storekeeper.span import Span

StoreName = Literal["postgres", "timescale", "mongo", "redis"]


@dataclass(frozen=True, slots=True)
class BackupPolicy:
    """A store's backups. `full` and `incremental` are intervals from 2000-01-03 UTC, moved by `at` (a length after
    midnight); `continuous` archives the changes in between (WAL, change stream, AOF). Backups live for `keep`."""

    store: StoreName
    full: Span
    keep: Span
    at: Span | None = None
    incremental: Span | None = None
    continuous: bool = False

    def __post_init__(self) -> None:
        if self.incremental is not None and self.store not in ("postgres", "timescale"):
            raise DeclarationError("only PostgreSQL has incremental backups", operation="declare", target=self.store)
