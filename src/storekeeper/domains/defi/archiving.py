"""Events older than a year leave the database for Parquet files, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storekeeper import Platform, StorekeeperError, years
from storekeeper.domains.defi import event_sql
from storekeeper.domains.defi.archive import EventFile
from storekeeper.domains.defi.entities import ArchivedStream, ArchiveFile, Event
from storekeeper.domains.defi.events import EventRow

#: How long events stay in the database at least.
KEPT: Final = years(1)

#: One archiving at a time: "defi" as four bytes, and one that no writer of events uses (they hold theirs shared).
_LOCK: Final = sa.select(sa.func.pg_advisory_xact_lock(sa.cast(0x64656661, sa.Integer), sa.cast(0, sa.Integer)))


@dataclass(frozen=True, slots=True)
class Archivable:
    """Events that may be archived next: those with `after_id` < id <= `last_id`."""

    after_id: int
    last_id: int
    rows: int


def archive_events(
    platform: Platform, directory: Path, *, at: datetime, rows_per_file: int = 100_000, batch: int = 10_000
) -> Iterator[ArchiveFile]:
    """Moves every event that is older than a year as of `at`, and has none younger before it, into files; yields each
    file when its events are out of the database. The directory belongs to this database alone.

    A file is whole, under its name and on the disk before the transaction that deletes its events, and only that
    transaction makes it count. Whatever ends in between leaves a file that nobody reads, and the events where they
    were. It is for the jobs role.
    """
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        with platform.postgres.session(timeout=None, operation="archive", target="defi.event_store") as session:
            file = _archive_next(session, directory, at, rows_per_file, batch)
        if file is None:
            return
        yield file


def archivable(session: Session, *, at: datetime, limit: int, after: int | None = None) -> Archivable | None:
    """The oldest events that may go as of `at`, at most `limit` of them: the order of all events is cut once, so an
    event waits for those before it. They follow what is archived, or the id `after`."""
    if after is None:
        after = session.scalar(sa.select(sa.func.coalesce(sa.func.max(ArchiveFile.last_id), 0))) or 0
    horizon = session.execute(event_sql.horizon()).scalar_one()
    kept = session.scalar(sa.select(Event.id).where(Event.occurred_at >= KEPT.before(at)).order_by(Event.id).limit(1))
    last = horizon if kept is None else min(horizon, kept - 1)
    oldest = sa.select(Event.id).where(Event.id > after, Event.id <= last).order_by(Event.id).limit(limit).subquery()
    rows, last_id = session.execute(sa.select(sa.func.count(), sa.func.max(oldest.c.id))).one()
    return Archivable(after, last_id, rows) if rows else None


def _archive_next(session: Session, directory: Path, at: datetime, limit: int, batch: int) -> ArchiveFile | None:
    session.execute(_LOCK)
    going = archivable(session, at=at, limit=limit)
    if going is None:
        return None
    file = EventFile(directory / f".events_{going.after_id}.partial")
    try:
        for rows in _rows(session, going, batch):
            file.write(rows)
        sha256 = file.seal()
        # the sum is part of the name: a file that was left behind by a run that ended early is never written over
        name = f"events_{going.after_id + 1:020d}_{going.last_id:020d}_{sha256[:16]}.parquet"
        file.publish(directory / name)
    finally:
        file.discard()
    archived = ArchiveFile(
        last_id=going.last_id, after_id=going.after_id, name=name, sha256=sha256, rows=file.rows, archived_at=at
    )
    session.add(archived)
    session.flush()
    _delete(session, archived)
    return archived


def _rows(session: Session, going: Archivable, batch: int) -> Iterator[list[EventRow]]:
    position = going.after_id
    while position < going.last_id:
        found = session.execute(event_sql.events_after(position, going.last_id, batch)).all()
        rows = [EventRow(*row[1:]) for row in found]
        yield rows
        position = rows[-1].id


def _delete(session: Session, archived: ArchiveFile) -> None:
    """Deletes the events of a file, after their streams' versions were put down."""
    range_ = (Event.id > archived.after_id, Event.id <= archived.last_id)
    reached = (
        sa.select(Event.aggregate_id, sa.func.max(Event.aggregate_type), sa.func.max(Event.version))
        .where(*range_)
        .group_by(Event.aggregate_id)
    )
    heads = insert(ArchivedStream).from_select(["aggregate_id", "aggregate_type", "version"], reached)
    session.execute(
        heads.on_conflict_do_update(index_elements=["aggregate_id"], set_={"version": heads.excluded.version})
    )
    deleted = session.execute(sa.delete(Event).where(*range_).execution_options(synchronize_session=False))
    count = deleted.rowcount  # type: ignore[attr-defined]  # a DELETE has a cursor's result
    if count != archived.rows:
        raise StorekeeperError(
            f"{archived.rows} events were written, and {count} are to be deleted",
            operation="archive",
            target="defi.event_store",
        )
