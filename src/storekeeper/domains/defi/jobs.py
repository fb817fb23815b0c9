"""What the defi domain does by itself, over the rows of all users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storekeeper import Action, Platform
from storekeeper.domains.defi.archive import archive_directory
from storekeeper.domains.defi.archiving import Archivable, archivable, archive_events
from storekeeper.domains.defi.entities import ArchiveFile, Intent, Signal
from storekeeper.domains.defi.operations import alerts, intents, signals
from storekeeper.domains.defi.queries import active_signals

#: Rows a transaction.
BATCH = 1000

#: Events a file.
FILE = 100_000


def expire(platform: Platform, *, as_of: datetime, dry_run: bool) -> Iterator[Action]:
    """Marks the signals and intents that have expired."""
    for name, entity, mark in (("defi.signals", Signal, signals.expire), ("defi.intents", Intent, intents.expire)):
        marked = 0
        if dry_run:
            over = (entity.status == "active", entity.expires_at <= as_of)
            with platform.postgres.session(timeout=None, operation="count", target=name) as session:
                marked = session.scalar(sa.select(sa.func.count()).select_from(entity).where(*over)) or 0
        else:
            count = BATCH
            while count == BATCH:
                with platform.postgres.session(timeout=None, operation="expire", target=name) as session:
                    count = mark(session, at=as_of, limit=BATCH)
                marked += count
        if marked:
            yield Action("expire", name, "rows past expires_at", rows=marked)


def alert_of_signals(platform: Platform, *, as_of: datetime, dry_run: bool) -> Iterator[Action]:
    """Makes the alerts of the signals that count: for whoever asked for their type, and was not told yet.

    In a dry run the alerts are made, counted and taken back.
    """
    with platform.postgres.session(timeout=None, operation="alert", target="defi.signals") as session:
        active = session.execute(active_signals(as_of).with_only_columns(Signal.id, Signal.type, Signal.asset)).all()
    for signal in sorted(active, key=lambda signal: str(signal.id)):
        made = _fanned_out(platform, signal, as_of, dry_run)
        if made:
            yield Action("alert", f"signal {signal.id}", f"{signal.type} of {signal.asset}", rows=made)


def archive(platform: Platform, *, as_of: datetime, dry_run: bool) -> Iterator[Action]:
    """Moves events that are older than a year into Parquet files, of the setting `archive`; an action a file."""
    if dry_run:
        yield from map(_archived, _archivable(platform, as_of))
        return
    for file in archive_events(platform, archive_directory(platform.settings), at=as_of, rows_per_file=FILE):
        yield _archived(file)


def _archivable(platform: Platform, as_of: datetime) -> list[Archivable]:
    """What would go, a file each."""
    files: list[Archivable] = []
    with platform.postgres.session(timeout=None, operation="count", target="defi.event_store") as session:
        going = archivable(session, at=as_of, limit=FILE)
        while going is not None:
            files.append(going)
            going = archivable(session, at=as_of, limit=FILE, after=going.last_id)
    return files


def _archived(events: Archivable | ArchiveFile) -> Action:
    detail = f"ids {events.after_id + 1} to {events.last_id}"
    return Action("archive", "defi.event_store", detail, rows=events.rows)


def _fanned_out(platform: Platform, signal: Any, as_of: datetime, dry_run: bool) -> int:
    with platform.postgres.session(timeout=None, operation="alert", target="defi.signals") as session:
        locked = session.scalar(sa.select(Signal.id).where(Signal.id == signal.id).with_for_update())
        if locked is None:  # cleaned up since it was listed
            return 0
        made = alerts.fan_out(session, signal.id, at=as_of)
        if dry_run:
            session.rollback()
        return made
