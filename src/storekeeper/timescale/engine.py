"""The protocol of a time-series engine, and the choice of one. An engine makes statements; it runs none.

It is shaped for TimescaleDB's hypertables and for plain PostgreSQL partitions. What an engine leaves to the server
(making chunks, say) is an empty list of statements; what it cannot do raises NotSupportedError.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from storekeeper.catalog import Hypertable, Range, Rollup
from storekeeper.errors import NotSupportedError
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.levels import Level
from storekeeper.timescale.partitions import PartitionsEngine
from storekeeper.timescale.statement import Inspection, Statement

EngineName = Literal["partitions", "hypertables"]


class Engine(Protocol):
    """What differs between engines. Statements of one list without `autocommit` belong into one transaction."""

    @property
    def name(self) -> EngineName: ...

    @property
    def columnstore(self) -> bool:
        """Whether chunks can be compressed."""
        ...

    @property
    def label(self) -> str:
        """How messages call it: "plain PostgreSQL partitions"."""
        ...

    def create_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        """The table, its indexes, its row among the watermarks, and the capture of its changes. Its schema is there."""
        ...

    def drop_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        """Everything that `create_hypertable` made, and the rows. Its rollups went before it."""
        ...

    def create_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]:
        """The rollup, empty, and all that its source holds marked as changed. `hypertable` declares it already."""
        ...

    def drop_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]: ...

    def chunks(self, level: Level) -> Inspection[list[Chunk]]:
        """In order of time."""
        ...

    def leftovers(self, level: Level) -> Inspection[list[Chunk]]:
        """Chunks that were detached and not dropped: a retention run was interrupted."""
        ...

    def make_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        """Chunks of these ranges, none of which is there; whoever runs it holds the level's chunks lock."""
        ...

    def ask_for_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        """The same for those who may only write rows: the server makes them, once it has checked that they are due."""
        ...

    def pending(self, level: Level) -> Inspection[list[Range]]:
        """What changed in a level since the rollup above it was made; merged, in order."""
        ...

    def refresh(self, level: Level, window: Range) -> list[Statement]:
        """Makes the whole buckets of `window` of a rollup anew, never any below its own or its source's watermark.

        Whoever runs it holds the rollup's refresh lock and shares the source's series lock.
        """
        ...

    def verify(self, level: Level, window: Range) -> Inspection[int]:
        """How many rows of a rollup differ from what its source yields, within the whole buckets of `window`."""
        ...

    def compress(self, level: Level, chunk: Chunk) -> list[Statement]: ...

    def detach(self, level: Level, chunk: Chunk) -> list[Statement]:
        """Takes a chunk out of its table; its rows are no longer seen."""
        ...

    def drop(self, level: Level, chunk: Chunk) -> list[Statement]:
        """Drops a chunk that was detached."""
        ...

    def finish_detaching(self, level: Level) -> Inspection[list[Statement]]:
        """What completes detachments that were interrupted half-way; nothing else can be detached before."""
        ...


def choose_engine(extension_version: str | None, forced: str | None) -> Engine:
    """The engine for a server with this version of the timescaledb extension (None: it has none), or the forced one.

    Partitions run on a server with the extension too, beside it. Raises NotSupportedError where the forced one is not
    part of this version.
    """
    if forced == "hypertables":
        raise NotSupportedError(
            "the TimescaleDB engine is not part of this version",
            operation="choose engine",
            target=f"timescaledb {extension_version}" if extension_version else "hypertables",
            hint='leave `engine` out, or set it to "partitions"',
        )
    return PartitionsEngine()
