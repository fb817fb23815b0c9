"""How far a file is, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows that the store has taken, not committed yet; bytes of the file as it lies on the disk."""

    rows: int
    bytes_read: int
    bytes_total: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Ingested:
    """A file that is in the store: committed, whole. `rounded` counts values by column, where rounding was allowed."""

    dataset: str
    rows: int
    seconds: float
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    rounded: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0
