"""Alerts are made, one by one or of a signal for all who asked for its type, and go their way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import NotFoundError, RefusedError
from storekeeper.domains.defi.entities import Alert, Signal
from storekeeper.domains.defi.shapes import Channel

#: What alerts of signals are called.
SIGNAL_DETECTED: Final = "signal_detected"

# Whoever chose no channel is told in the application. The signal's row is locked before: no two of these run at once.
_FAN_OUT: Final = sa.text("""
    INSERT INTO defi.alerts (user_id, signal_id, type, channel, message, metadata)
    SELECT u.id, s.id, :alert_type, c.channel, format('%s of %s: %s', s.type, s.asset, s.severity),
        jsonb_build_object('signalType', s.type, 'asset', s.asset, 'severity', s.severity,
            'detectedAt', s.detected_at, 'data', s.data)
    FROM defi.signals s
    JOIN defi.users u ON jsonb_exists(u.preferences -> 'activeSignals', s.type)
    CROSS JOIN LATERAL (
        SELECT DISTINCT channel FROM jsonb_array_elements_text(
            coalesce(nullif(u.preferences -> 'notificationChannels', '[]'), '["in_app"]')
        ) AS channel
    ) c
    WHERE s.id = :signal_id AND NOT EXISTS (
        SELECT FROM defi.alerts a
        WHERE a.signal_id = s.id AND a.user_id = u.id AND a.channel = c.channel AND a.type = :alert_type
    )
    ORDER BY u.id, c.channel
    RETURNING id
""").bindparams(sa.bindparam("alert_type", type_=sa.String), sa.bindparam("signal_id", type_=sa.Uuid))


async def alert(
    session: AsyncSession,
    user_id: UUID,
    type: str,  # noqa: A002  # the column's name
    channel: Channel,
    message: str,
    *,
    signal_id: UUID | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Alert:
    """One alert for one user, to be sent on one channel."""
    made = Alert(
        user_id=user_id, signal_id=signal_id, type=type, channel=channel, message=message, meta=dict(meta or {})
    )
    session.add(made)
    await session.flush()
    return made


async def fan_out(session: AsyncSession, signal_id: UUID, *, at: datetime) -> int:
    """An alert of the signal for every user whose activeSignals name its type, on each of their channels; how many.

    Called again, it makes only those that are missing. A signal that no longer counts at `at` makes none. It needs to
    see all users: it is for the jobs role. Raises NotFoundError.
    """
    signal: Signal | None = await session.scalar(
        sa.select(Signal).where(Signal.id == signal_id).with_for_update().execution_options(populate_existing=True)
    )
    if signal is None:
        raise NotFoundError("no such signal", operation="alert", target=str(signal_id))
    if signal.status != "active" or (signal.expires_at is not None and signal.expires_at <= at):
        return 0
    made = await session.execute(_FAN_OUT, {"alert_type": SIGNAL_DETECTED, "signal_id": signal_id})
    return len(made.all())


async def mark_sent(session: AsyncSession, alert_id: UUID, *, at: datetime) -> Alert:
    """The alert went out at `at`, be it at a second attempt. Again, it changes nothing."""
    found = await _locked(session, alert_id, "mark sent", "sent", {"pending", "failed"})
    if found.status != "sent":
        found.status, found.sent_at = "sent", at
        await session.flush()
    return found


async def mark_failed(session: AsyncSession, alert_id: UUID, reason: str) -> Alert:
    """The alert could not be sent; `meta` says why. Again, it changes nothing."""
    found = await _locked(session, alert_id, "mark failed", "failed", {"pending"})
    if found.status != "failed":
        found.status, found.meta = "failed", {**found.meta, "failure": reason}
        await session.flush()
    return found


async def mark_acknowledged(session: AsyncSession, alert_id: UUID, *, at: datetime) -> Alert:
    """Its user has seen the alert at `at`. Again, it changes nothing."""
    found = await _locked(session, alert_id, "acknowledge", "acknowledged", {"pending", "sent"})
    if found.status != "acknowledged":
        found.status, found.acknowledged_at = "acknowledged", at
        await session.flush()
    return found


async def _locked(session: AsyncSession, alert_id: UUID, operation: str, to: str, allowed: set[str]) -> Alert:
    found: Alert | None = await session.scalar(
        sa.select(Alert).where(Alert.id == alert_id).with_for_update().execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFoundError("no such alert", operation=operation, target=str(alert_id))
    if found.status != to and found.status not in allowed:
        raise RefusedError(f"the alert is {found.status}", operation=operation, target=str(alert_id))
    return found
