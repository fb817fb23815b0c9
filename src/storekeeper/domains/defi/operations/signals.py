# Generated from signals_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Signals are detected, acknowledged, and expire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import InputError, NotFoundError, RefusedError, Span
from storekeeper.domains.defi.entities import Signal
from storekeeper.domains.defi.shapes import SignalData


def detect(
    session: Session,
    type: str,  # noqa: A002  # the column's name
    asset: str,
    severity: str,
    *,
    at: datetime,
    data: SignalData | None = None,
    lasts: Span | None = None,
) -> Signal:
    """Writes down what was seen at `at`; it counts for as long as `lasts`, or until it is acknowledged."""
    signal = Signal(
        type=type,
        asset=asset,
        severity=severity,
        data=data or SignalData(),
        detected_at=at,
        expires_at=None if lasts is None else lasts.after(at),
    )
    session.add(signal)
    session.flush()
    return signal


def acknowledge(session: Session, signal_id: UUID, *, at: datetime) -> Signal:
    """A signal counts no more, since somebody has seen to it. Again, it changes nothing.

    Raises NotFoundError, and RefusedError where the signal has expired by `at`.
    """
    signal: Signal | None = session.scalar(
        sa.select(Signal).where(Signal.id == signal_id).with_for_update().execution_options(populate_existing=True)
    )
    if signal is None:
        raise NotFoundError("no such signal", operation="acknowledge", target=str(signal_id))
    if signal.status == "acknowledged":
        return signal
    if signal.status == "expired" or (signal.expires_at is not None and signal.expires_at <= at):
        raise RefusedError("the signal has expired", operation="acknowledge", target=str(signal_id))
    signal.status = "acknowledged"
    session.flush()
    return signal


def expire(session: Session, *, at: datetime, limit: int = 1000) -> int:
    """Marks up to `limit` active signals that have expired by `at`, and returns how many.

    Those that another transaction has locked wait for the next call. The clean-up of expired rows deletes them later;
    alerts stay.
    """
    if limit < 1:
        raise InputError(f"a limit of {limit} marks nothing", operation="expire signals")
    over = (
        sa.select(Signal.id)
        .where(Signal.status == "active", Signal.expires_at <= at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("over")
    )
    marked = session.execute(
        sa.update(Signal)
        .where(Signal.id == over.c.id)
        .values(status="expired")
        .returning(Signal.id)
        .execution_options(synchronize_session=False)
    )
    return len(marked.all())
