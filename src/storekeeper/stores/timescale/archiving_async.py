"""Chunks on their way to the cold tier: archived, verified, and only then dropped.

A part (the archiving of one chunk) is noted as being written before its first file is; its files count from the commit
that notes it as kept; its chunk is dropped in the transaction that finds the server's word on its rows unchanged. As
long as the chunk is attached, its rows are the store's to show; afterwards the files'. So a kill anywhere leaves
nothing lost and nothing twice: before the commit the files count for nothing and the next run takes them away, after it
the next run finds them.
"""

from __future__ import annotations

import secrets
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.catalog import Range, declaration_digest
from storekeeper.clock import Clock, SystemClock, as_utc
from storekeeper.errors import ArchiveError, ConflictError, NotMigratedError, NotVerifiedError
from storekeeper.ledger import archives, series
from storekeeper.ledger.locks import archive_lock
from storekeeper.stores.sql.arrow import Table, pa
from storekeeper.stores.sql.patience_async import patiently
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import executed, inspected
from storekeeper.stores.timescale.cold import Cold
from storekeeper.stores.timescale.values import Archived, ArchivedPart
from storekeeper.timescale.archived import (
    ColdFile,
    Content,
    kept_columns,
    line_of,
    lock_chunk,
    select_content,
    select_kept,
    select_readers,
    select_unkeepable,
    share_rows,
    slices,
)
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import column_type
from storekeeper.timescale.statement import Statement

_WAITING: Final = {"lock_timeout": "30s"}
_READING: Final = {"cursor_tuple_fraction": "1", "lock_timeout": "60s"}

#: Values of a column that are not null, and their sum.
_Sum = tuple[int, Decimal | None]

#: Reads all rows of a statement, exact: (connection, statement, columns) → table.
Fetch = Callable[[AsyncConnection, Statement, Sequence[tuple[str, sa.types.TypeEngine[Any]]]], Awaitable[Table]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the ledger says of a chunk that is archived and still there."""

    part: str
    rows: int
    bytes: int
    content: str
    files: int


class AsyncArchiving:
    """Archives chunks of the rows of hypertables. `cold` None: there is no place for them."""

    def __init__(
        self, pool: AsyncPool, engine: Engine, cold: Cold | None, fetch: Fetch, *, clock: Clock | None = None
    ) -> None:
        self._pool = pool
        self._engine = engine
        self._cold = cold
        self._fetch = fetch
        self._clock = clock or SystemClock()

    async def begin(self, level: Level, mark: datetime | None, raised: datetime | None) -> None:
        """Before anything goes, and the watermark rises from `mark` to `raised`: where rows are to be archived, finds
        whether there is a place that can be written, and notes that it will be complete from `mark` on; where they are
        not, that it is not complete below `raised`. A rollup that another is made of takes the watermark of the rows
        along: these are looked at then too. Raises ArchiveError: nothing may be dropped then."""
        rows, archived = Level(level.hypertable, 0), level.hypertable.archive
        if level.depth and not (archived and level.coarser):
            return
        if archived and not level.depth:
            cold = self._needed(level)
            await self._check_place(level, cold)
            await to_thread(cold.check)
        async with self._pool.begin(timeout=None, operation="archive", target=rows.name) as connection:
            if level.depth:
                mark = (await connection.execute(series.watermark(rows.name))).scalar()
                if raised is None or (mark is not None and mark >= raised):
                    return
            if archived:
                if raised is not None and (names := await inspected(connection, select_unkeepable(rows, raised))):
                    raise _unkeepable(rows, names)
                await connection.execute(archives.begin_archive(rows.name, mark))
            elif raised is not None:
                await connection.execute(archives.break_archive(rows.name, raised))

    def foreseen(self, level: Level, chunks: Sequence[Chunk]) -> tuple[Archived, ...]:
        """What would be archived. Raises ArchiveError where there is no place for it."""
        if not _archives(level) or not chunks:
            return ()
        place = self._needed(level).shown
        return tuple(Archived(level.name, chunk, 0, chunk.rows, 0, place) for chunk in chunks)

    async def keep(self, level: Level, chunk: Chunk, *, detached: bool = False) -> Archived | None:
        """Has the cold tier hold the rows of a chunk below the watermark; once more for one that it holds already.
        None where its level is not archived.

        One snapshot of the store: rows are read, written, read again from the files and compared with what the server
        counts and sums. Raises ArchiveError, NotVerifiedError, ConflictError (another process archives it).
        """
        if not _archives(level):
            return None
        cold = self._needed(level)
        await self._clean(level, cold)
        try:
            return await self._keep(level, chunk, cold, chunk.name if detached else None)
        except NotMigratedError as error:
            if detached:  # another run has dropped it
                raise _busy(level) from error
            raise

    async def _keep(self, level: Level, chunk: Chunk, cold: Cold, table: str | None) -> Archived:
        known = await self._known(level, chunk)
        if known is not None and await self._unchanged(level, chunk, known, table):
            return Archived(level.name, chunk, known.files, known.rows, known.bytes, cold.shown)
        await self._check_place(level, cold)
        part = f"{self._clock.now():%Y%m%dT%H%M%S%f}-{secrets.token_hex(8)}"
        async with self._pool.begin(timeout=None, operation="archive", target=level.name) as connection:
            await connection.execute(
                archives.begin_part(part, level.name, chunk.name, chunk.range.lower, chunk.range.upper, cold.shown)
            )
        try:
            files, content = await self._write(level, chunk, part, known, table, cold)
        except (ArchiveError, ConflictError, NotVerifiedError):
            # a disk that is full has its room back at once; what cannot be removed now is at the next run
            await to_thread(_removed, cold, level.name, part, chunk.range)
            raise
        if known is not None:
            await self._clean(level, cold)
        return Archived(level.name, chunk, len(files), content.rows, sum(file.bytes for file in files), cold.shown)

    async def parts(self, dataset: str | None) -> list[ArchivedPart]:
        """What counts of the cold tier, in order of dataset and time."""
        async with self._pool.begin(operation="inspect", target=dataset or "archive") as connection:
            rows = (await connection.execute(archives.all_parts(dataset))).all()
        return [
            ArchivedPart(
                row.id,
                row.dataset,
                row.chunk,
                Range(as_utc(row.lower), as_utc(row.upper)),
                row.files,
                row.rows,
                row.bytes,
                row.location,
                row.manifest,
                as_utc(row.archived_at),
                None if row.dropped_at is None else as_utc(row.dropped_at),
            )
            for row in rows
        ]

    async def verify(self, part: ArchivedPart) -> None:
        """Reads all files of a part. Raises DamagedArchiveError, ArchiveError."""
        if self._cold is None:
            raise ArchiveError("this process knows no place of the archive", operation="verify", hint="set `archive`")
        async with self._pool.begin(operation="inspect", target=part.dataset) as connection:
            rows = (await connection.execute(archives.files_of(part.id))).all()
        files = [
            ColdFile(r.path, r.sha256, r.rows, r.bytes, as_utc(r.earliest), as_utc(r.latest), part.id) for r in rows
        ]
        await to_thread(self._cold.verify_part, part.dataset, part.id, part.manifest, files)

    async def release(self, connection: AsyncConnection, level: Level, chunk: Chunk, *, detached: bool = False) -> bool:
        """In the transaction that is about to drop a chunk: whether the cold tier holds exactly its rows. Then the
        chunk is noted as dropped; nobody changes it until the transaction ends. True where its level is not archived.
        """
        if not _archives(level):
            return True
        await executed(connection, [lock_chunk(chunk.schema or level.schema, chunk.name)])
        row = (await connection.execute(archives.kept_part(level.name, chunk.name))).first()
        table = chunk.name if detached else None
        content = await inspected(connection, select_content(level, chunk.range, table))
        if row is None or (row.rows, row.content) != (content.rows, content.digest):
            return False
        dropped = await connection.execute(archives.drop_part(row.id))
        return bool(dropped.rowcount)

    async def _write(
        self, level: Level, chunk: Chunk, part: str, known: _Kept | None, table: str | None, cold: Cold
    ) -> tuple[list[ColdFile], Content]:
        columns = kept_columns(level)
        named = [(column.name, column.type) for column in columns]
        order = (*line_of(level), level.time)
        files: list[ColdFile] = []
        summed = {column.name: _has_sum(column) for column in level.table.columns}
        sums: dict[str, _Sum] = {}
        async with self._pool.begin(
            isolation="repeatable read", timeout=None, operation="archive", target=level.name, local=_READING
        ) as connection:
            # before the snapshot: no chunk that it sees goes away under it
            await executed(connection, [share_rows(level, table)])
            if not (await connection.execute(archive_lock(level.name).at_once())).scalar_one():
                raise _busy(level)
            await self._check_still(connection, level, chunk, known, table)
            content = await inspected(connection, select_content(level, chunk.range, table))
            schema = None
            for group in slices(chunk.range, content):
                window = Range(group[0].lower, group[-1].upper)
                rows = await self._fetch(connection, select_kept(level, window, table), named)
                schema = rows.schema
                for piece in group:
                    some = _within(rows, level.time, piece)
                    if some.num_rows:
                        write = partial(cold.write, time=level.time, sorted_by=order, summed=summed)
                        file, found = await to_thread(write, level.name, part, len(files), some)
                        files.append(file)
                        sums = {name: _added(sums.get(name), pair) for name, pair in found.items()}
            _compare(level, chunk, content, files, sums)
            seal = partial(
                cold.seal_part,
                dataset=level.name,
                part=part,
                chunk=chunk.name,
                bounds=chunk.range,
                time=level.time,
                sorted_by=order,
                columns=[(column.name, column_type(column.type)) for column in level.table.columns],
                schema=schema if schema is not None else [],
                declaration=declaration_digest(level.hypertable),
                content=content.digest,
                written_at=self._clock.now(),
                files=files,
            )
            manifest = await to_thread(seal)
            if known is not None and not (await connection.execute(archives.replace_part(known.part))).rowcount:
                raise _busy(level)
            done = await connection.execute(
                archives.keep_part(
                    part,
                    rows=content.rows,
                    bytes_=sum(file.bytes for file in files),
                    content=content.digest,
                    manifest=manifest,
                )
            )
            if not done.rowcount:
                raise _busy(level)
            if files:
                await connection.execute(archives.note_files([_row(file) for file in files]))
        return files, content

    async def _check_still(
        self, connection: AsyncConnection, level: Level, chunk: Chunk, known: _Kept | None, table: str | None
    ) -> None:
        """Raises ConflictError where another run has taken the chunk further: its rows are elsewhere, and what is to be
        written would stand for all of them."""
        found = await inspected(connection, (self._engine.leftovers if table else self._engine.chunks)(level))
        row = (await connection.execute(archives.kept_part(level.name, chunk.name))).first()
        there = any(one.name == chunk.name for one in found)
        if not there or (row and row.id) != (known and known.part):
            raise _busy(level)

    async def _clean(self, level: Level, cold: Cold) -> None:
        """Takes away files that do not count: of runs that ended early, and of parts that others replaced. Of these a
        reader may still look for them, who has begun before: then they stay until the next time."""

        async def attempt() -> None:
            # after the lock it must see what another process has kept meanwhile
            async with self._pool.begin(
                isolation="read committed", timeout=None, operation="archive", target=level.name, local=_WAITING
            ) as connection:
                await connection.execute(archive_lock(level.name).in_transaction())
                dead = (await connection.execute(archives.dead_parts(level.name))).all()
                if any(row.state == "replaced" for row in dead) and await inspected(connection, select_readers(level)):
                    dead = [row for row in dead if row.state != "replaced"]
                for row in dead:
                    await to_thread(cold.remove, level.name, row.id, Range(as_utc(row.lower), as_utc(row.upper)))
                if dead:
                    await connection.execute(archives.forget_parts([row.id for row in dead]))

        await patiently(attempt)

    async def _check_place(self, level: Level, cold: Cold) -> None:
        """A place that is not mounted (any more) is an empty directory; what is written there is hidden once it is."""
        await to_thread(cold.check_parts, level.name, [part.id for part in await self.parts(level.name)])

    async def _known(self, level: Level, chunk: Chunk) -> _Kept | None:
        async with self._pool.begin(timeout=None, operation="archive", target=level.name) as connection:
            row = (await connection.execute(archives.kept_part(level.name, chunk.name))).first()
        return None if row is None else _Kept(row.id, row.rows, row.bytes, row.content, row.files)

    async def _unchanged(self, level: Level, chunk: Chunk, known: _Kept, table: str | None) -> bool:
        async with self._pool.begin(timeout=None, operation="archive", target=level.name) as connection:
            content = await inspected(connection, select_content(level, chunk.range, table))
        return (content.rows, content.digest) == (known.rows, known.content)

    def _needed(self, level: Level) -> Cold:
        if self._cold is None:
            raise ArchiveError(
                "its rows are to be archived, and there is no place for them",
                operation="archive",
                target=level.name,
                hint="set `archive` (STOREKEEPER_ARCHIVE) to a directory or s3://BUCKET/PREFIX; nothing was dropped",
            )
        return self._cold


def _archives(level: Level) -> bool:
    return level.hypertable.archive and not level.depth


def _removed(cold: Cold, dataset: str, part: str, bounds: Range) -> None:
    try:
        cold.remove(dataset, part, bounds)
    except ArchiveError:
        return  # the error that led here says what is wrong with the place; the ledger still knows of the part


def _within(rows: Table, time: str, piece: Range) -> Table:
    """The rows of a window, in their order."""
    moments = rows.column(time).combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    lower, upper = (_microseconds(moment) for moment in (piece.lower, piece.upper))
    wanted = (moments >= lower) & (moments < upper)
    if bool(np.all(wanted)):
        return rows
    some: Table = rows.filter(pa.array(wanted))
    return some


def _microseconds(moment: datetime) -> int:
    value: int = pa.scalar(moment, type=pa.timestamp("us", tz="UTC")).value
    return value


def _has_sum(column: sa.Column[Any]) -> bool:
    """As select_content: no sum over floats, nor over days and times without a zone."""
    kind = column.type
    plain_time = isinstance(kind, sa.DateTime) and not kind.timezone
    return not (isinstance(kind, (sa.Float, sa.Date)) or plain_time)


def _added(one: _Sum | None, other: tuple[int, str | None]) -> _Sum:
    values, total = other
    number = None if total is None else Decimal(total)
    if one is None:
        return values, number
    return one[0] + values, number if one[1] is None else one[1] if number is None else one[1] + number


def _compare(level: Level, chunk: Chunk, content: Content, files: Sequence[ColdFile], sums: Mapping[str, _Sum]) -> None:
    """Compares what the files yield, read again, with what the server says in the snapshot they were made of."""
    said = {name: (values, None if total is None else Decimal(total)) for name, (values, total) in content.sums.items()}
    different = [name for name, found in sums.items() if found != said[name]]
    rows = sum(file.rows for file in files)
    if rows != content.rows or different:
        what = f"{rows} rows of {content.rows}" if rows != content.rows else f"{', '.join(different)} differ"
        raise NotVerifiedError(
            f"the files hold other rows than the store: {what}",
            operation="archive",
            target=f"{level.schema}.{chunk.name}",
            hint="nothing was dropped; please report this, with the table's columns",
        )


def _row(file: ColdFile) -> Mapping[str, object]:
    return {
        "path": file.path,
        "part": file.part,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "earliest": file.earliest,
        "latest": file.latest,
    }


def _unkeepable(level: Level, names: Sequence[str]) -> ArchiveError:
    """Before the watermark rises: afterwards nobody could correct the rows."""
    return ArchiveError(
        f"{', '.join(names)} holds NaN or an infinity, which no decimal or time of a file is",
        operation="archive",
        target=level.name,
        hint="correct these rows, or delete them; nothing was dropped",
    )


def _busy(level: Level) -> ConflictError:
    return ConflictError(
        "another process archives it", operation="archive", target=level.name, hint="the next run tries again"
    )
