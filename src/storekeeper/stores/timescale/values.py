"""What the time-series store answers."""

from __future__ import annotations

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
    of one key in the same call. `rounded` counts, by column, values that were rounded as allowed.
    """

    rows: int
    inserted: int
    updated: int = 0
    skipped: int = 0
    rounded: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A window of a rollup that was made anew, and how many rows it has now."""

    dataset: str
    window: Range
    rows: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What retention took from one dataset, or would take (`dry_run`): chunks, in order of time, and what had to be
    refreshed for that. Rows before `watermark` are gone; None where none ever went."""

    dataset: str
    chunks: tuple[Chunk, ...]
    watermark: datetime | None
    refreshed: tuple[Refreshed, ...] = ()
    dry_run: bool = False

    @property
    def rows(self) -> int:
        """By the server's estimate."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a dataset is. `rows` is the server's estimate; `oldest` and `newest` bound its chunks."""

    dataset: str
    rollup_of: str | None
    chunks: int
    rows: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    watermark: datetime | None
