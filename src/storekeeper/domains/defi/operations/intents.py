# Generated from intents_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Intents are made, triggered once by metrics that fulfil them, and come to an end.

Every step locks the intent's row and looks at its state under the lock: of any number of callers one takes the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import InputError, NotFoundError
from storekeeper.domains.defi.entities import Intent
from storekeeper.domains.defi.errors import SettledError
from storekeeper.domains.defi.queries import due_intents
from storekeeper.domains.defi.shapes import Condition, IntentAction


def intend(
    session: Session,
    user_id: UUID,
    condition: Condition,
    action: IntentAction,
    *,
    at: datetime,
    expires_at: datetime | None = None,
) -> Intent:
    """A new intent, active until `expires_at`."""
    if expires_at is not None and expires_at <= at:
        raise InputError("it would have expired already", operation="make intent", target="expires_at")
    intent = Intent(user_id=user_id, condition=condition, action=action, expires_at=expires_at)
    session.add(intent)
    session.flush()
    return intent


def evaluate(session: Session, user_id: UUID, metrics: Mapping[str, Decimal], *, at: datetime) -> tuple[Intent, ...]:
    """Triggers those of a user's active intents whose condition the metrics fulfil, and returns them, by id.

    Each intent is in the result of one evaluation only, however many run at once: whoever gets it carries its action
    out, and records what came of it. `metrics` are by name; `meta` keeps the value that triggered.
    """
    due = session.scalars(due_intents(user_id, metrics, at).with_for_update().execution_options(populate_existing=True))
    triggered = tuple(intent for intent in due if intent.condition.holds(metrics))
    for intent in triggered:
        intent.status, intent.triggered_at = "triggered", at
        intent.meta = {**intent.meta, "triggeredBy": str(metrics[intent.condition.metric])}
    session.flush()
    return triggered


def record_executed(
    session: Session, intent_id: UUID, *, at: datetime, outcome: Mapping[str, Any] | None = None
) -> Intent:
    """The action of a triggered intent was carried out at `at`; `outcome` is kept in `meta`.

    Recorded once: raises SettledError the second time, and NotFoundError.
    """
    intent = _locked(session, intent_id, "record execution", "triggered")
    intent.status, intent.executed_at = "executed", at
    intent.meta = {**intent.meta, "outcome": dict(outcome or {})}
    session.flush()
    return intent


def record_failed(session: Session, intent_id: UUID, *, reason: str) -> Intent:
    """The action of a triggered intent could not be carried out; `meta` says why.

    Recorded once: raises SettledError the second time, and NotFoundError.
    """
    intent = _locked(session, intent_id, "record failure", "triggered")
    intent.status, intent.meta = "failed", {**intent.meta, "failure": reason}
    session.flush()
    return intent


def cancel(session: Session, user_id: UUID, intent_id: UUID) -> Intent:
    """Its owner wants an active intent no more. Raises NotFoundError where it is not theirs, and SettledError."""
    intent = _locked(session, intent_id, "cancel", "active", user_id=user_id)
    intent.status = "cancelled"
    session.flush()
    return intent


def expire(session: Session, *, at: datetime, limit: int = 1000) -> int:
    """Marks up to `limit` active intents that have expired by `at`, and returns how many.

    Those that another transaction has locked wait for the next call.
    """
    if limit < 1:
        raise InputError(f"a limit of {limit} marks nothing", operation="expire intents")
    over = (
        sa.select(Intent.id)
        .where(Intent.status == "active", Intent.expires_at <= at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("over")
    )
    marked = session.execute(
        sa.update(Intent)
        .where(Intent.id == over.c.id)
        .values(status="expired")
        .returning(Intent.id)
        .execution_options(synchronize_session=False)
    )
    return len(marked.all())


def _locked(session: Session, intent_id: UUID, operation: str, status: str, *, user_id: UUID | None = None) -> Intent:
    statement = sa.select(Intent).where(Intent.id == intent_id)
    if user_id is not None:
        statement = statement.where(Intent.user_id == user_id)
    intent: Intent | None = session.scalar(statement.with_for_update().execution_options(populate_existing=True))
    if intent is None:
        raise NotFoundError("no such intent", operation=operation, target=str(intent_id))
    if intent.status != status:
        raise SettledError(f"the intent is {intent.status}, not {status}", operation=operation, target=str(intent_id))
    return intent
