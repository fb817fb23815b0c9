"""The outbox: statements over storekeeper.outbox, for the caller's transaction. Times are the server's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper.ledger.locks import outbox_lock
from storekeeper.ledger.tables import outbox


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An effect that was recorded and not yet delivered. `attempts` are those that failed, `last_error` why the last
    one did; until `next_attempt_at` it is not tried again."""

    position: int
    effect: str
    key: str
    payload: Any
    recorded_at: datetime
    attempts: int
    last_error: str | None
    next_attempt_at: datetime | None


_COLUMNS = (
    outbox.c.id,
    outbox.c.effect,
    outbox.c.key,
    outbox.c.payload,
    outbox.c.recorded_at,
    outbox.c.attempts,
    outbox.c.last_error,
    outbox.c.next_attempt_at,
)
_UNDELIVERED = outbox.c.delivered_at.is_(None)
_DUE = sa.func.coalesce(outbox.c.next_attempt_at <= sa.func.clock_timestamp(), sa.true())


def decode_outbox(row: Sequence[Any]) -> OutboxRow:
    """The value of one row that `claim` or `undelivered` return."""
    return OutboxRow(*row)


def record(effect: str, key: str, payload: Any) -> sa.Insert:
    """Writes an effect down, once the key's lock is held: one statement, and so one round trip.

    The row, and with it its position, is made from the row that the lock's query gives: never before the lock is held.
    """
    held = outbox_lock(key).in_transaction().cte("held")
    row = sa.select(
        sa.literal(effect, sa.Text), sa.literal(key, sa.Text), sa.literal(payload, JSONB(none_as_null=False))
    ).select_from(held)
    return sa.insert(outbox).from_select(["effect", "key", "payload"], row, include_defaults=False)


def due_keys(effects: Iterable[str], limit: int) -> sa.Select[Any]:
    """The keys whose oldest undelivered row can be tried now, those that have waited longest first."""
    heads = sa.select(sa.func.min(outbox.c.id).label("id")).where(_UNDELIVERED).group_by(outbox.c.key).subquery("heads")
    known = outbox.c.effect == sa.func.any(sa.literal(list(effects), sa.ARRAY(sa.Text)))
    return (
        sa.select(outbox.c.key)
        .join(heads, outbox.c.id == heads.c.id)
        .where(_UNDELIVERED, _DUE, known)
        .order_by(outbox.c.id)
        .limit(limit)
    )


def claim(key: str, effects: Iterable[str]) -> sa.Select[Any]:
    """The oldest undelivered row of a key, locked until the transaction ends; no row where another relay has it, or
    where it cannot be tried now.

    Which row is the oldest is found first and locked then: were the locked ones skipped in one go, the second oldest
    would be taken while the oldest is being delivered.
    """
    oldest = sa.select(sa.func.min(outbox.c.id)).where(outbox.c.key == key, _UNDELIVERED).scalar_subquery()
    known = outbox.c.effect == sa.func.any(sa.literal(list(effects), sa.ARRAY(sa.Text)))
    return (
        sa.select(*_COLUMNS).where(outbox.c.id == oldest, _UNDELIVERED, _DUE, known).with_for_update(skip_locked=True)
    )


def delivered(position: int) -> sa.Update:
    """Notes that the effect was applied."""
    return sa.update(outbox).where(outbox.c.id == position).values(delivered_at=sa.func.clock_timestamp())


def failed(position: int, error: str, *, again_in: timedelta) -> sa.Update:
    """Notes an attempt that failed, and when the next may be made."""
    return (
        sa.update(outbox)
        .where(outbox.c.id == position)
        .values(
            attempts=outbox.c.attempts + 1,
            last_error=error,
            next_attempt_at=sa.func.clock_timestamp() + sa.literal(again_in, sa.Interval),
        )
    )


def undelivered(limit: int, *, failed_only: bool = False) -> sa.Select[Any]:
    """What is not delivered yet, oldest first."""
    statement = sa.select(*_COLUMNS).where(_UNDELIVERED).order_by(outbox.c.id).limit(limit)
    return statement.where(outbox.c.attempts > 0) if failed_only else statement


def counted() -> sa.Select[Any]:
    """How many rows of each effect are not delivered, and how many of them have failed at least once."""
    return (
        sa.select(outbox.c.effect, sa.func.count(), sa.func.count().filter(outbox.c.attempts > 0))
        .where(_UNDELIVERED)
        .group_by(outbox.c.effect)
        .order_by(outbox.c.effect)
    )
