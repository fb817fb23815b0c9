# Generated from event_store_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Events are appended to streams, and read again: of a stream, or all in their order, archived ones among them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import datetime
from operator import call as to_thread
from typing import TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from storekeeper import InputError
from storekeeper.domains.defi import event_sql
from storekeeper.domains.defi.archive import Archive
from storekeeper.domains.defi.errors import ArchivedEventsError, StreamConflictError
from storekeeper.domains.defi.events import EventRow, NewEvent, StoredEvent, Stream, as_json, stored

S = TypeVar("S")

#: Beyond every id and every version.
_END = 2**63 - 1


def append(
    session: Session, stream: Stream, expected_version: int, events: Sequence[NewEvent], *, at: datetime
) -> tuple[StoredEvent, ...]:
    """Appends events that occurred at `at` to a stream that is at `expected_version` (0: that has none), all or none.

    Where the stream is at another version, or a concurrent append takes the next one first, StreamConflictError is
    raised, nothing was written, and the transaction can go on. An append to the same stream by a transaction that is
    still open is waited for.
    """
    values = {
        "events": as_json(stream, expected_version, events),
        "aggregate_type": stream.type,
        "aggregate_id": stream.id,
        "expected": expected_version,
        "at": at,
    }
    added = (session.execute(event_sql.APPEND, values)).all()
    if not added:
        raise _conflict(stream, expected_version, _head(session, stream))
    return tuple(
        stored(
            EventRow(
                row.id, stream.type, stream.id, row.version, event.type, row.payload, row.metadata, row.occurred_at
            )
        )
        for row, event in zip(added, events, strict=True)
    )


def version_of(session: Session, stream: Stream) -> int:
    """How many events a stream has, archived ones included."""
    found = _head(session, stream)
    return 0 if found is None or found[0] != stream.type else found[1]


def read_stream(
    session: Session,
    stream: Stream,
    *,
    after: int = 0,
    up_to: int | None = None,
    archive: Archive | None = None,
    batch: int = 500,
) -> Generator[StoredEvent]:
    """The events of a stream with `after` < version <= `up_to`, in their order; `batch` rows a statement.

    Raises ArchivedEventsError where some of them are archived and no archive was given.
    """
    with closing(_stream_rows(session, stream, after, up_to, archive, batch)) as batches:
        for rows in batches:
            for row in rows:
                yield stored(row)


def read_all(
    session: Session,
    *,
    after: int = 0,
    up_to: int | None = None,
    archive: Archive | None = None,
    batch: int = 500,
) -> Generator[StoredEvent]:
    """All events with `after` < id <= `up_to`, in the order of `id`, as far as they are complete when it begins.

    No event appears later below one that was given, so a reader goes on after the last id it saw and misses none: what
    an open transaction may still fill is not passed. Numbers that were never used leave holes. It takes a transaction
    of isolation level read committed. Raises ArchivedEventsError as `read_stream` does.
    """
    with closing(all_rows(session, after, up_to, archive, batch)) as batches:
        for rows in batches:
            for row in rows:
                yield stored(row)


def as_of(
    session: Session,
    stream: Stream | None,
    initial: S,
    apply: Callable[[S, StoredEvent], S],
    *,
    version: int | None = None,
    event_id: int | None = None,
    moment: datetime | None = None,
    archive: Archive | None = None,
) -> S:
    """What the events of a stream (None: all events) make of `initial`, as of an event or a moment, or by now.

    Only events up to the `version`, up to the `event_id`, and that had occurred by the `moment` are applied.
    """
    if stream is None and version is not None:
        raise InputError("a version is one of a stream", operation="project", hint="name the stream, or an event_id")
    state = initial
    events = (
        read_all(session, up_to=event_id, archive=archive)
        if stream is None
        else read_stream(session, stream, up_to=version, archive=archive)
    )
    with closing(events) as found:
        for event in found:
            if event_id is not None and event.id > event_id:
                break
            if moment is None or event.occurred_at <= moment:
                state = apply(state, event)
    return state


def all_rows(
    session: Session, after: int, up_to: int | None, archive: Archive | None, batch: int
) -> Generator[list[EventRow]]:
    """What `read_all` gives, in batches of rows whose JSON is text."""
    horizon = int((session.execute(event_sql.horizon())).scalar_one())
    last = horizon if up_to is None else min(up_to, horizon)
    position = after
    while True:
        found = (session.execute(event_sql.events_after(position, last, batch))).all()
        archived = min(found[0].archived, _END if up_to is None else up_to)
        if archived > position:
            # what comes next has left the table: what was found there waits until the files have been read
            with closing(_archived(session, archive, position, archived, None)) as batches:
                for rows in batches:
                    yield rows
            position = archived
            continue
        rows = [EventRow(*row[1:]) for row in found if row.id is not None]
        if rows:
            position = rows[-1].id
            yield rows
        if len(rows) < batch:
            return


def _stream_rows(
    session: Session, stream: Stream, after: int, up_to: int | None, archive: Archive | None, batch: int
) -> Generator[list[EventRow]]:
    position = after
    while True:
        found = (session.execute(event_sql.stream_after(stream, position, up_to, batch))).all()
        archived = min(found[0].archived, _END if up_to is None else up_to)
        if archived > position:
            with closing(_archived(session, archive, position, archived, stream.id)) as batches:
                for rows in batches:
                    yield rows
            position = archived
            continue
        rows = [EventRow(*row[1:]) for row in found if row.id is not None]
        if rows:
            position = rows[-1].version
            yield rows
        if len(rows) < batch:
            return


def _archived(
    session: Session, archive: Archive | None, after: int, up_to: int, aggregate_id: UUID | None
) -> Generator[list[EventRow]]:
    """Events out of the files; the bounds are ids, or versions of one aggregate."""
    if archive is None:
        raise ArchivedEventsError(
            "they were moved into the archive",
            operation="read events",
            target=f"after {after}",
            hint="give the archive, or read on from where it ends",
        )
    bounds = (after, up_to) if aggregate_id is None else (0, _END)
    for file in (session.scalars(event_sql.archive_files(*bounds))).all():
        reading = archive.rows(file.name, file.sha256, after=after, up_to=up_to, aggregate_id=aggregate_id)
        with closing(reading):
            while (rows := to_thread(next, reading, None)) is not None:
                yield rows
                if aggregate_id is not None and rows[-1].version == up_to:
                    return


def _head(session: Session, stream: Stream) -> tuple[str, int] | None:
    row = (session.execute(event_sql.head(stream))).one_or_none()
    return None if row is None else (row.aggregate_type, row.version)


def _conflict(stream: Stream, expected: int, found: tuple[str, int] | None) -> StreamConflictError:
    kind, version = found or (stream.type, 0)
    if kind != stream.type:
        return StreamConflictError(
            f"the aggregate is a {kind}",
            operation="append to",
            target=str(stream),
            hint="ids are unique over all types",
        )
    return StreamConflictError(
        f"the stream is at version {version}, not {expected}",
        operation="append to",
        target=str(stream),
        hint=f"read it after version {expected}, decide again, and append to what it is then",
    )
