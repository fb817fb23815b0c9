"""What answers a question for bars, told without asking it."""

from __future__ import annotations

from dataclasses import dataclass

from storekeeper.catalog import Range
from storekeeper.timescale.routing import Part
from storekeeper.timescale.statement import Statement


@dataclass(frozen=True, slots=True)
class Explained:
    """How bars would be made: of which level, each part of the range by what and why, and the server's statement.

    `level` is the dataset that answers where it is not behind, `window` the whole buckets of the range, None where
    there is no row at all. `cold` are the windows that only the archive may still hold; the statement leaves them out,
    and is None where nothing else is asked for.
    """

    dataset: str
    level: str
    window: Range | None
    parts: tuple[Part, ...] = ()
    cold: tuple[Range, ...] = ()
    statement: Statement | None = None

    def __str__(self) -> str:
        if self.window is None:
            return f"{self.dataset} holds no rows"
        lines = [f"{part.start} … {part.end}: {part.source} ({part.reason})" for part in self.parts]
        return "\n".join(lines)
