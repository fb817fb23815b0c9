"""The statements of the event store. A statement that reads events says, of the same instant, what is archived."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from storekeeper.domains.defi.entities import ArchivedStream, ArchiveFile, Event
from storekeeper.domains.defi.events import Stream

_COLUMNS: Final = (
    Event.id,
    Event.aggregate_type,
    Event.aggregate_id,
    Event.version,
    Event.event_type,
    sa.cast(Event.payload, sa.Text).label("payload"),
    sa.cast(Event.meta, sa.Text).label("metadata"),
    Event.occurred_at,
)

# All or nothing without a savepoint: the first event goes in only where the stream ends at the expected version and
# nobody else has taken the next one, the others only where the first did.
APPEND: Final = sa.text("""
    WITH given AS (
        SELECT version, event_type, payload, metadata
        FROM jsonb_to_recordset(CAST(:events AS jsonb))
            AS event (version integer, event_type text, payload jsonb, metadata jsonb)
    ), head AS (
        (
            SELECT aggregate_type, version FROM defi.event_store WHERE aggregate_id = :aggregate_id
            ORDER BY version DESC LIMIT 1
        )
        UNION ALL
        SELECT aggregate_type, version FROM defi.archived_streams WHERE aggregate_id = :aggregate_id
        ORDER BY version DESC LIMIT 1
    ), first AS (
        INSERT INTO defi.event_store
            (aggregate_type, aggregate_id, version, event_type, payload, metadata, occurred_at)
        SELECT :aggregate_type, :aggregate_id, version, event_type, payload, metadata, :at FROM given
        WHERE version = :expected + 1
          AND coalesce((SELECT version FROM head), 0) = :expected
          AND coalesce((SELECT aggregate_type FROM head), :aggregate_type) = :aggregate_type
        ON CONFLICT ON CONSTRAINT uq_event_store_aggregate_version DO NOTHING
        RETURNING id, version, payload, metadata, occurred_at
    ), rest AS (
        INSERT INTO defi.event_store
            (aggregate_type, aggregate_id, version, event_type, payload, metadata, occurred_at)
        SELECT :aggregate_type, :aggregate_id, version, event_type, payload, metadata, :at FROM given
        WHERE version > :expected + 1 AND EXISTS (SELECT FROM first)
        ORDER BY version
        RETURNING id, version, payload, metadata, occurred_at
    )
    SELECT id, version, CAST(payload AS text) AS payload, CAST(metadata AS text) AS metadata, occurred_at FROM first
    UNION ALL
    SELECT id, version, CAST(payload AS text), CAST(metadata AS text), occurred_at FROM rest
    ORDER BY version
""").bindparams(
    sa.bindparam("events", type_=sa.Text),
    sa.bindparam("aggregate_type", type_=sa.String),
    sa.bindparam("aggregate_id", type_=sa.Uuid),
    sa.bindparam("expected", type_=sa.Integer),
    sa.bindparam("at", type_=sa.DateTime(timezone=True)),
)


def head(stream: Stream) -> sa.Select[Any]:
    """At which version an aggregate is, as which type: one row, or none before its first event."""
    live = (
        sa.select(Event.aggregate_type, Event.version)
        .where(Event.aggregate_id == stream.id)
        .order_by(Event.version.desc())
        .limit(1)
        .subquery()
    )
    archived = sa.select(ArchivedStream.aggregate_type, ArchivedStream.version).where(
        ArchivedStream.aggregate_id == stream.id
    )
    both = sa.union_all(sa.select(live), archived).subquery()
    return sa.select(both).order_by(both.c.version.desc()).limit(1)


def horizon() -> sa.Select[Any]:
    """Up to which id all events are there that ever will be: no transaction is open that may still add one."""
    return sa.select(sa.func.defi.event_horizon(type_=sa.BigInteger))


def events_after(position: int, last: int, limit: int) -> sa.Select[Any]:
    """The first events with `position` < id <= `last`; in every row, up to which id events are archived.

    One row without an event where there is none.
    """
    archived = sa.select(sa.func.coalesce(sa.func.max(ArchiveFile.last_id), 0).label("archived")).subquery("a")
    events = (
        sa.select(*_COLUMNS).where(Event.id > position, Event.id <= last).order_by(Event.id).limit(limit).lateral("e")
    )
    return sa.select(archived.c.archived, *events.c).outerjoin(events, sa.true()).order_by(events.c.id)


def stream_after(stream: Stream, position: int, last: int | None, limit: int) -> sa.Select[Any]:
    """The same of one stream, by version."""
    archived = (
        sa.select(sa.func.coalesce(sa.func.max(ArchivedStream.version), 0).label("archived"))
        .where(ArchivedStream.aggregate_id == stream.id, ArchivedStream.aggregate_type == stream.type)
        .subquery("a")
    )
    statement = sa.select(*_COLUMNS).where(
        Event.aggregate_id == stream.id, Event.aggregate_type == stream.type, Event.version > position
    )
    if last is not None:
        statement = statement.where(Event.version <= last)
    events = statement.order_by(Event.version).limit(limit).lateral("e")
    return sa.select(archived.c.archived, *events.c).outerjoin(events, sa.true()).order_by(events.c.version)


def archive_files(position: int, last: int) -> sa.Select[Any]:
    """The files that hold events with `position` < id <= `last`, in the events' order."""
    return (
        sa.select(ArchiveFile)
        .where(ArchiveFile.last_id > position, ArchiveFile.after_id < last)
        .order_by(ArchiveFile.last_id)
    )
