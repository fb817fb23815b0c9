# Generated from lifecycle_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The life of a series: refresh, retention, compression. Every step can be cut off; the next run goes on from there.

Retention of a level: finish detachments that were interrupted → refresh every rollup above it → verify them against
what is about to go → raise the watermark → archive each chunk, where declared → detach → drop it. A kill before the
watermark rose changes nothing but that rollups are newer. After it, what lies below it is in the rollups for good,
takes no more rows, and is dropped by this run or the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from storekeeper.catalog import Hypertable, Range
from storekeeper.errors import ConflictError, NotMigratedError, NotVerifiedError, StoreError
from storekeeper.ledger import series
from storekeeper.ledger.locks import chunks_lock, series_lock
from storekeeper.stores.sql.failures import sqlstate_of
from storekeeper.stores.sql.patience import patiently
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.stores.timescale.archiving import Archiving
from storekeeper.stores.timescale.chunk_maker import ChunkMaker
from storekeeper.stores.timescale.refreshing import Refresher
from storekeeper.stores.timescale.values import Archived, Dropped, Refreshed
from storekeeper.stores.timescale.verifier import Verifier
from storekeeper.timescale.chunks import Chunk, pieces
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.lifecycle import due_for_compression, due_for_drop, due_for_refresh, new_watermark
from storekeeper.timescale.statement import Statement

#: How long to wait for a lock that stops writers, for readers of a chunk that is to be detached, and for those of one
#: that is there until it is dropped: whoever comes after waits with it.
_RAISING: Final = {"lock_timeout": "2s"}
_DETACHING: Final = {"lock_timeout": "60s"}
_DROPPING: Final = {"lock_timeout": "2s"}
#: How long to wait for writers of a chunk that is to be compressed.
_COMPRESSING: Final = {"lock_timeout": "10s"}
#: SQLSTATE where another run detaches a chunk of the same table.
_IS_PENDING: Final = "55000"
#: Rounds of refresh and verification while rows that are about to go keep changing.
_ROUNDS: Final = 5


class Lifecycle:
    """Refreshes rollups, compresses chunks and drops what is due."""

    def __init__(
        self,
        pool: Pool,
        engine: Engine,
        chunks: ChunkMaker,
        archiving: Archiving,
        *,
        owner: str | None = None,
    ) -> None:
        self._pool = pool
        self._archiving = archiving
        self._engine = engine
        self._chunks = chunks
        # rows are the jobs' own to change; tables are taken away as their owner
        self._as_owner: dict[str, str] = {} if owner is None else {"role": owner}
        self._refresher = Refresher(pool, engine, chunks, self._as_owner)
        self._verifier = Verifier(pool, engine)

    def refresh(self, hypertable: Hypertable, before: datetime) -> list[Refreshed]:
        """Every rollup, the finest first: buckets that changed and ended by `before`."""
        done: list[Refreshed] = []
        for level in Level(hypertable, 0).coarser:
            with self._reading(level) as connection:
                pending = inspected(connection, self._engine.pending(level.source))
                filled = [
                    c.range for one in (level.source, level) for c in inspected(connection, self._engine.chunks(one))
                ]
                own = _watermark(connection, level)
            for window in due_for_refresh(level, pending, before):
                for piece, may_hold_rows in pieces(window, filled, level.source.chunk, level.buckets.every):
                    wanted = [piece] if may_hold_rows and (own is None or piece.upper > own) else []
                    rows = self._refresher.refresh(level, piece, wanted)
                    if may_hold_rows:
                        done.append(Refreshed(level.name, piece, rows))
        return done

    def drop_chunks(self, hypertable: Hypertable, as_of: datetime, *, dry_run: bool) -> list[Dropped]:
        """Retention of all levels, the rows first; those of which nothing goes are left out."""
        done = [self._drop_level(level, as_of, dry_run=dry_run) for level in levels(hypertable)]
        return [dropped for dropped in done if dropped.chunks or dropped.refreshed]

    def _drop_level(self, level: Level, as_of: datetime, *, dry_run: bool) -> Dropped:
        if level.keep is None:
            return Dropped(level.name, (), None, (), dry_run)
        if not dry_run:
            self._finish_detaching(level)
        with self._reading(level) as connection:
            chunks = inspected(connection, self._engine.chunks(level))
            leftovers = inspected(connection, self._engine.leftovers(level))
            mark = _watermark(connection, level)
        due = due_for_drop(level, chunks, as_of)
        leftovers = [chunk for chunk in leftovers if mark is not None and chunk.range.upper <= mark]
        raised = new_watermark(level, due) if due else mark
        if dry_run:
            kept = self._archiving.foreseen(level, (*leftovers, *due))
            return Dropped(level.name, (*leftovers, *due), raised, (), dry_run, kept)
        if due or leftovers:
            self._archiving.begin(level, mark, raised)
        refreshed: list[Refreshed] = []
        if due and raised is not None and (mark is None or raised > mark):
            refreshed = self._hold(level, due, mark, raised)
        archived = [self._take(level, chunk, detached=False) for chunk in due]
        archived += [self._take(level, chunk, detached=True) for chunk in leftovers]
        self._chunks.forget(level)
        kept = tuple(one for one in archived if one is not None)
        return Dropped(level.name, (*leftovers, *due), raised, tuple(refreshed), archived=kept)

    def _take(self, level: Level, chunk: Chunk, *, detached: bool) -> Archived | None:
        """Archives a chunk where that is declared, then drops it; one that another run has taken further is left."""
        archived: Archived | None = None
        again = False
        for _ in range(_ROUNDS):
            if not self._is_there(level, chunk, detached=detached):
                return archived
            try:
                archived = self._archiving.keep(level, chunk, detached=detached)
            except NotVerifiedError:
                if again:
                    raise
                again = True  # rows that are compressed meanwhile are nowhere for a snapshot of before
                continue
            if self._engine.detaches and not detached:
                self._detach(level, chunk)
                detached = True
            if self._drop(level, chunk):
                return archived
        raise ConflictError(
            "rows keep coming to it while it is archived",
            operation="drop",
            target=f"{level.schema}.{chunk.name}",
            hint="it was not dropped; the next run tries again",
        )

    def _hold(self, level: Level, due: Sequence[Chunk], mark: datetime | None, raised: datetime) -> list[Refreshed]:
        """Has every rollup above hold what is about to go, then raises the watermark. Raises NotVerifiedError."""
        refreshed: list[Refreshed] = []
        oldest = due[0].range.lower
        doubted = False
        for _ in range(_ROUNDS):
            # from the rows on: what is noted of a finer level would hold this one back
            refreshed += self.refresh(level.hypertable, raised)
            different = self._different(level, Range(max(mark, oldest) if mark else oldest, raised))
            try:
                if self._raise(level, raised, different):
                    return refreshed
            except NotVerifiedError:
                if doubted:
                    raise
                doubted = True  # another run may have refreshed it since it was compared
        raise ConflictError(
            f"rows before {raised:%Y-%m-%d %H:%M:%S} UTC keep changing",
            operation="drop chunks",
            target=level.name,
            hint="nothing was dropped; the next run tries again",
        )

    def _different(self, level: Level, span: Range) -> dict[str, int]:
        """How many rows of each rollup above differ from what its source yields, those that do not left out."""
        different: dict[str, int] = {}
        for coarser in level.coarser:
            every = coarser.buckets.every
            with self._reading(coarser) as connection:
                filled = [
                    chunk.range
                    for one in (coarser.source, coarser)
                    for chunk in inspected(connection, self._engine.chunks(one))
                ]
            window = Range(every.floor(span.lower), span.upper)
            found = pieces(window, filled, coarser.source.chunk, every)
            if rows := self._verifier.different(coarser, [piece for piece, may_hold_rows in found if may_hold_rows]):
                different[coarser.name] = rows
        return different

    def _raise(self, level: Level, moment: datetime, different: dict[str, int]) -> bool:
        """Raises the watermark, unless rows below it changed since the rollups were made.

        A rollup that another is made of takes the levels below it along: a row that reached them now could not reach
        that other one any more. No writer of these levels is in flight meanwhile, and each after it sees the new mark.
        """
        raised = (*level.finer, level) if level.coarser else (level,)
        sources = [one.name for one in raised] + [one.name for one in level.coarser[:-1]]

        def attempt() -> bool:
            # each statement sees what was committed while the one before it waited for its lock
            with self._pool.begin(
                isolation="read committed",
                timeout=None,
                operation="raise watermark",
                target=level.name,
                local=_RAISING,
            ) as connection:
                for one in raised:
                    connection.execute(series_lock(one.name).in_transaction())
                    if (connection.execute(series.watermark_alone(one.name))).first() is None:
                        raise NotMigratedError(operation="raise watermark", target=one.name)
                if level.coarser and (connection.execute(series.changed_below(sources, moment))).scalar_one():
                    return False
                if different:  # and nothing changed: this cannot be, and must not be made final
                    raise _not_verified(level, different)
                for one in raised:
                    connection.execute(series.raise_watermark(one.name, moment))
                return True

        return patiently(attempt)

    def _finish_detaching(self, level: Level) -> None:
        with self._reading(level) as connection:
            unfinished = inspected(connection, self._engine.finish_detaching(level))
        if unfinished:
            try:
                with self._pool.autocommit(
                    operation="finish detaching", target=level.name, local={**self._as_owner, **_DETACHING}
                ) as connection:
                    executed(connection, unfinished)
            except StoreError:
                with self._reading(level) as connection:
                    if inspected(connection, self._engine.finish_detaching(level)):
                        raise

    def _detach(self, level: Level, chunk: Chunk) -> None:
        target = f"{level.schema}.{chunk.name}"
        local = {**self._as_owner, **_DETACHING}
        try:
            with self._pool.autocommit(operation="detach", target=target, local=local) as connection:
                executed(connection, self._engine.detach(level, chunk))
        except StoreError as error:
            if self._is_there(level, chunk, detached=False):
                if sqlstate_of(error) == _IS_PENDING:
                    raise ConflictError(
                        error.cause, operation="detach", target=target, hint="the next run finishes that, and goes on"
                    ) from error
                raise

    def _is_there(self, level: Level, chunk: Chunk, *, detached: bool) -> bool:
        """Whether a chunk is still attached, or detached: another run may have taken it further."""
        with self._reading(level) as connection:
            found = inspected(connection, (self._engine.leftovers if detached else self._engine.chunks)(level))
        return any(one.name == chunk.name for one in found)

    def _drop(self, level: Level, chunk: Chunk) -> bool:
        """False, and nothing done, where rows came to it that are to be archived first."""
        target = f"{level.schema}.{chunk.name}"
        local = {**self._as_owner, **(_DETACHING if self._engine.detaches else _DROPPING)}

        def attempt() -> bool:
            with self._pool.begin(
                isolation="read committed", timeout=None, operation="drop", target=target, local=local
            ) as connection:
                # another run may have dropped it, and one of the same name may be there for late rows: that one stays
                connection.execute(chunks_lock(level.name).in_transaction())
                there = self._engine.leftovers if self._engine.detaches else self._engine.chunks
                if any(one.name == chunk.name for one in inspected(connection, there(level))):
                    if not self._archiving.release(connection, level, chunk, detached=self._engine.detaches):
                        return False
                    executed(connection, self._engine.drop(level, chunk))
                return True

        return patiently(attempt)

    def compress(self, hypertable: Hypertable, as_of: datetime, *, dry_run: bool) -> list[Chunk]:
        """Compresses the chunks that are old enough, and takes rows that came since into compressed ones; returns them
        as they were found.

        Raises NotSupportedError where there are some and the engine has no columnstore.
        """
        level = Level(hypertable, 0)
        with self._reading(level) as connection:
            due = due_for_compression(hypertable, inspected(connection, self._engine.chunks(level)), as_of)
        for chunk in due:
            act = self._engine.recompress if chunk.compressed else self._engine.compress
            statements = act(level, chunk)
            if not dry_run:
                self._compress(level, chunk, statements)
        return list(due)

    def compress_within(self, hypertable: Hypertable, ranges: Sequence[Range]) -> None:
        """Compresses the chunks that these ranges touch, however old they are, and takes rows that came since into
        compressed ones."""
        level = Level(hypertable, 0)
        with self._reading(level) as connection:
            there = inspected(connection, self._engine.chunks(level))
        for chunk in (chunk for chunk in there if any(chunk.range.overlaps(piece) for piece in ranges)):
            act = self._engine.recompress if chunk.compressed else self._engine.compress
            self._compress(level, chunk, act(level, chunk))

    def _compress(self, level: Level, chunk: Chunk, statements: Sequence[Statement]) -> None:
        local = {**self._as_owner, **_COMPRESSING}

        def attempt() -> None:
            with self._pool.begin(timeout=None, operation="compress", target=chunk.label, local=local) as connection:
                executed(connection, statements)

        try:
            patiently(attempt)
        except StoreError:
            # another run, or another backfill of this chunk, came first
            with self._reading(level) as connection:
                found = inspected(connection, self._engine.chunks(level))
            if any(one.name == chunk.name and (not one.compressed or one.partial) for one in found):
                raise

    def _reading(self, level: Level) -> AbstractContextManager[Connection]:
        return self._pool.begin(timeout=None, operation="inspect", target=level.name)


def _watermark(connection: Connection, level: Level) -> datetime | None:
    row = (connection.execute(series.watermark(level.name))).first()
    if row is None:
        raise NotMigratedError(
            "is not known to the store", operation="inspect", target=level.name, hint="run `storekeeper migrate`"
        )
    moment: datetime | None = row.dropped_before
    return moment


def _not_verified(level: Level, different: dict[str, int]) -> NotVerifiedError:
    found = ", ".join(f"{rows} rows of {name}" for name, rows in different.items())
    return NotVerifiedError(
        f"{found} are not what its source yields",
        operation="drop chunks",
        target=level.name,
        hint="nothing was dropped; was the rollup changed by hand? an UPDATE of the rows it is made of refreshes them",
    )
