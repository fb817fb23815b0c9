"""What is read of users, positions, signals, alerts and intents, as statements; a listing says which order it takes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import joinedload, selectinload

from storekeeper.domains.defi.entities import Alert, Intent, Position, Signal, User

#: Orders of listings, for pages: newest first, ending in the unique id.
NEWEST_POSITIONS = (Position.snapshot_at.desc(), Position.id.desc())
NEWEST_SIGNALS = (Signal.detected_at.desc(), Signal.id.desc())
NEWEST_ALERTS = (Alert.created_at.desc(), Alert.id.desc())
NEWEST_INTENTS = (Intent.created_at.desc(), Intent.id.desc())


def user_with_positions(user_id: UUID, *, since: datetime | None = None) -> sa.Select[Any]:
    """A user, and in `positions` every snapshot, or those since a moment, newest first: two statements in all."""
    positions = selectinload(User.positions if since is None else User.positions.and_(Position.snapshot_at >= since))
    return sa.select(User).where(User.id == user_id).options(positions)


def positions_of(user_id: UUID, *, protocol: str | None = None, chain_id: int | None = None) -> sa.Select[Any]:
    """The snapshots of a user, or those in one protocol or on one chain. Order: NEWEST_POSITIONS."""
    statement = sa.select(Position).where(Position.user_id == user_id)
    if protocol is not None:
        statement = statement.where(Position.protocol == protocol)
    return statement if chain_id is None else statement.where(Position.chain_id == chain_id)


def latest_position(user_id: UUID, *, protocol: str | None = None, chain_id: int | None = None) -> sa.Select[Any]:
    """A user's newest snapshot, or the newest one in a protocol or on a chain."""
    return positions_of(user_id, protocol=protocol, chain_id=chain_id).order_by(*NEWEST_POSITIONS).limit(1)


def latest_positions(user_id: UUID) -> sa.Select[Any]:
    """A user's newest snapshot of each wallet, protocol and chain, ordered by these."""
    place = (Position.wallet_address, Position.protocol, Position.chain_id)
    newest_first = sa.func.row_number().over(partition_by=place, order_by=NEWEST_POSITIONS).label("place")
    ranked = sa.select(Position.id, newest_first).where(Position.user_id == user_id).subquery()
    return sa.select(Position).join(ranked, ranked.c.id == Position.id).where(ranked.c.place == 1).order_by(*place)


def latest_position_of_each(user_ids: Iterable[UUID]) -> sa.Select[Any]:
    """The newest snapshot of each of these users who has one: one look into the index a user."""
    users = sa.func.unnest(sa.cast(list(user_ids), sa.ARRAY(sa.Uuid))).table_valued("id").render_derived(name="wanted")
    newest = (
        sa.select(Position.id)
        .where(Position.user_id == users.c.id)
        .order_by(*NEWEST_POSITIONS)
        .limit(1)
        .correlate(users)
        .lateral("newest")
    )
    return sa.select(Position).select_from(users).join(newest, sa.true()).join(Position, Position.id == newest.c.id)


def active_signals(at: datetime, *, asset: str | None = None, type: str | None = None) -> sa.Select[Any]:  # noqa: A002  # the column's name
    """The signals that count at a moment: seen by then, neither acknowledged nor expired. Order: NEWEST_SIGNALS."""
    statement = sa.select(Signal).where(
        Signal.status == "active",
        Signal.detected_at <= at,
        sa.or_(Signal.expires_at.is_(None), Signal.expires_at > at),
    )
    if asset is not None:
        statement = statement.where(Signal.asset == asset)
    return statement if type is None else statement.where(Signal.type == type)


def alerts_of(user_id: UUID, *, status: str = "pending") -> sa.Select[Any]:
    """A user's alerts in one state, each with its signal where that still is. Order: NEWEST_ALERTS."""
    return sa.select(Alert).where(Alert.user_id == user_id, Alert.status == status).options(joinedload(Alert.signal))


def intents_of(user_id: UUID, *, status: str | None = None) -> sa.Select[Any]:
    """A user's intents, or those in one state. Order: NEWEST_INTENTS."""
    statement = sa.select(Intent).where(Intent.user_id == user_id)
    return statement if status is None else statement.where(Intent.status == status)


def due_intents(user_id: UUID, metrics: Iterable[str], at: datetime) -> sa.Select[Any]:
    """A user's active intents about these metrics, those that have expired by `at` left out; by id."""
    return (
        sa.select(Intent)
        .where(
            Intent.user_id == user_id,
            Intent.status == "active",
            Intent.condition["metric"].astext.in_(sorted(metrics)),
            sa.or_(Intent.expires_at.is_(None), Intent.expires_at > at),
        )
        .order_by(Intent.id)
    )
