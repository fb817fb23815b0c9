"""The protocol of a time-series engine, and the choice of one. An engine makes statements; it runs none.

It is shaped for TimescaleDB's hypertables and for plain PostgreSQL partitions. What an engine leaves to the server
(making chunks, say) is an empty list of statements; what it cannot do raises NotSupportedError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from storekeeper.catalog import Hypertable, Range, Rollup
from storekeeper.timescale.adjusting import Adjustment, Definition, Policy
from storekeeper.timescale.chunks import Chunk, Statistics
from storekeeper.timescale.levels import Level
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

    @property
    def note(self) -> str:
        """Why it is this one where there might be another, and what to do; empty where nothing is to be said."""
        ...

    @property
    def detaches(self) -> bool:
        """Whether a chunk is detached before it is dropped."""
        ...

    @property
    def copies_late(self) -> bool:
        """Whether COPY may bring rows for chunks that are compressed."""
        ...

    @property
    def refreshes_alone(self) -> bool:
        """Whether a refresh begins and ends transactions itself, so that notes are settled after it."""
        ...

    def create_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        """The table, its indexes, its row among the watermarks, and the capture of its changes. Its schema is there."""
        ...

    def drop_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        """Everything that `create_hypertable` made, and the rows. Its rollups went before it."""
        ...

    def alter_hypertable(self, before: Hypertable, after: Hypertable) -> list[Statement]:
        """Sets chunks, columnstore, capture and late rows from one to the other, of the series and the rollups that
        stand. Run where it is so already, it changes nothing."""
        ...

    def create_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]:
        """The rollup, empty, and all that its source holds marked as changed. `hypertable` declares it already."""
        ...

    def drop_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]: ...

    def adjustments(self, level: Level) -> Inspection[tuple[Adjustment, ...]]:
        """What the server has set of a level otherwise than declared; nothing where it has no such level."""
        ...

    def policies(self, level: Level) -> Inspection[list[Policy]]:
        """Jobs that the server was told to do on a level by itself."""
        ...

    def definition(self, level: Level) -> Definition:
        """How what a rollup is made of is compared with its declaration, beyond names and types of its columns."""
        ...

    def chunks(self, level: Level) -> Inspection[list[Chunk]]:
        """In order of time."""
        ...

    def leftovers(self, level: Level) -> Inspection[list[Chunk]]:
        """Chunks that were detached and not dropped: a retention run was interrupted."""
        ...

    def statistics(self, level: Level) -> Inspection[Statistics]: ...

    def make_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        """Chunks of these ranges, none of which is there; whoever runs it holds the level's chunks lock."""
        ...

    def ask_for_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        """The same for those who may only write rows: the server makes them, once it has checked that they are due."""
        ...

    def pending(self, level: Level) -> Inspection[list[Range]]:
        """What changed in a level since the rollup above it was made; merged, in order."""
        ...

    def noted(self, level: Level, window: Range) -> Inspection[list[int]]:
        """The notes of changes in `window` that a rollup has not taken up, for `settle`."""
        ...

    def refresh(self, level: Level, window: Range) -> list[Statement]:
        """Makes the whole buckets of `window` of a rollup anew.

        Whoever runs it holds the rollup's refresh lock and shares the source's series lock. In a transaction it never
        makes any bucket below the rollup's or its source's watermark, and settles the notes; an engine that refreshes
        alone relies on the caller for both, and for sharing the rollup's own series lock.
        """
        ...

    def settle(self, level: Level, window: Range, noted: Sequence[int], made: Range | None) -> list[Statement]:
        """After a refresh of `window` that stands alone: these notes are taken up, and `made`, the part of it that lies
        above the watermarks, has changed for what is made of the rollup."""
        ...

    def verify(self, level: Level, window: Range) -> Inspection[int]:
        """How many rows of a rollup differ from what its source yields, within the whole buckets of `window`."""
        ...

    def compress(self, level: Level, chunk: Chunk) -> list[Statement]: ...

    def recompress(self, level: Level, chunk: Chunk) -> list[Statement]:
        """Takes the rows that came to a compressed chunk since into its columnstore."""
        ...

    def detach(self, level: Level, chunk: Chunk) -> list[Statement]:
        """Takes a chunk out of its table; its rows are no longer seen."""
        ...

    def drop(self, level: Level, chunk: Chunk) -> list[Statement]:
        """Drops a chunk that was detached, or where none is, the chunk of this range."""
        ...

    def finish_detaching(self, level: Level) -> Inspection[list[Statement]]:
        """What completes detachments that were interrupted half-way; nothing else can be detached before."""
        ...
