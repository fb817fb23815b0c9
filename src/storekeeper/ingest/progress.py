"""How far files are, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storekeeper.ingest.readers.piece import Reject


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows that the store has taken, not committed yet; bytes of the files as they lie on the disk. `bytes_total` is
    None where nobody knows, of a pipe."""

    rows: int
    bytes_read: int
    bytes_total: int | None
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file: the rows that it had, how many of them were rejected, the first of these, how many for which reason (of
    one column), and the file that holds them all (None where there is none). `unit` is what their places count."""

    name: str
    rows: int
    rejected: int = 0
    first: tuple[Reject, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    rejects: Path | None = None
    unit: str = "line"


@dataclass(frozen=True, slots=True)
class Ingested:
    """Files whose rows are in the store, committed together; or, of a dry run, would be.

    `rows` counts all that the files had: `inserted` + `updated` + `skipped` + `superseded` + `rejected`. Skipped are
    those whose key was there already and that changed nothing; superseded those of which the file has a newer version.
    `rounded` counts values by column, where rounding was allowed, of all rows that fitted their columns; `flagged` such
    rows by the declared flag that marks them; `expiring` the documents that are older than their collection keeps them,
    `continued` the lines of a log that continue the message above them.
    """

    dataset: str
    rows: int
    seconds: float
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    superseded: int = 0
    rejected: int = 0
    expiring: int = 0
    continued: int = 0
    rounded: Mapping[str, int] = field(default_factory=dict)
    flagged: Mapping[str, int] = field(default_factory=dict)
    files: tuple[FileResult, ...] = ()
    dry_run: bool = False

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0
