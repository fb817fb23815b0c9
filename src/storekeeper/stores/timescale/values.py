"""What the time-series store answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storekeeper.catalog import Range
from storekeeper.timescale.chunks import Chunk

OnConflict = Literal["error", "skip", "update"]


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the rows handed in: rows = inserted + updated + skipped.

    Skipped are rows whose key was there already (or, with "update", that changed nothing), and all but one of the rows
    of one key in the same call. `rounded` counts, by column, values that were rounded as allowed; `flagged`, by flag,
    the rows handed in that a declared quality rule marks; `late` those of a time that retention has dropped, which are
    kept outside the rollups, as declared (else they are refused).
    """

    rows: int
    inserted: int
    updated: int = 0
    skipped: int = 0
    rounded: Mapping[str, int] = field(default_factory=dict)
    flagged: Mapping[str, int] = field(default_factory=dict)
    late: int = 0

    def __add__(self, other: Appended) -> Appended:
        return Appended(
            self.rows + other.rows,
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.skipped + other.skipped,
            dict(Counter(self.rounded) + Counter(other.rounded)),
            dict(Counter(self.flagged) + Counter(other.flagged)),
            self.late + other.late,
        )


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What became of rows of sealed days: `appended`, and the chunks that they went to. `compressed` are those that
    are in the columnstore now; where there are none, `note` says why."""

    appended: Appended
    chunks: tuple[Range, ...]
    compressed: tuple[Range, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A window of a rollup that was made anew, and how many rows it has now."""

    dataset: str
    window: Range
    rows: int


@dataclass(frozen=True, slots=True)
class Archived:
    """A chunk that the cold tier holds: how many files, rows and bytes, and in which place. In a dry run, `rows` is the
    server's estimate, and files and bytes are not known."""

    dataset: str
    chunk: Chunk
    files: int
    rows: int
    bytes: int
    place: str


@dataclass(frozen=True, slots=True)
class ArchivedPart:
    """What the store knows of one archiving of a chunk. `dropped_at` None: the chunk is still there, and has the rows.
    `manifest` is its sha256."""

    id: str
    dataset: str
    chunk: str
    range: Range
    files: int
    rows: int
    bytes: int
    place: str
    manifest: str
    archived_at: datetime
    dropped_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """What retention took from one dataset, or would take (`dry_run`): chunks, in order of time, and what had to be
    refreshed for that. Rows before `watermark` are gone; None where none ever went. `archived` are the chunks that the
    cold tier holds now."""

    dataset: str
    chunks: tuple[Chunk, ...]
    watermark: datetime | None
    refreshed: tuple[Refreshed, ...] = ()
    dry_run: bool = False
    archived: tuple[Archived, ...] = ()

    @property
    def rows(self) -> int:
        """By the server's estimate."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a dataset is. `rows` is the server's estimate; `oldest` and `newest` bound its chunks, `compressed` of
    which are in the columnstore."""

    dataset: str
    rollup_of: str | None
    chunks: int
    rows: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    watermark: datetime | None
    compressed: int = 0
