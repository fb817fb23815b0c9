# Generated from alerts_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Price alerts: what a user wants to be told once, and the ticks that bring it about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import InputError, NotFoundError, record
from storekeeper.domains.invest import effects, queries
from storekeeper.domains.invest.entities import PriceAlert
from storekeeper.domains.invest.exact import checked
from storekeeper.domains.invest.ticks import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An alert to be set: on the price, on its change against the tick's reference in percent, or on the volume."""

    user_id: UUID
    symbol: str
    alert_type: Literal["price", "percent_change", "volume"]
    condition: Literal["above", "below", "equals"]
    target: Decimal
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        checked(self.target, 18, 6, name="target", operation="set an alert")
        if self.alert_type != "percent_change" and self.target < 0:
            raise InputError(f"no {self.alert_type} is below 0", operation="set an alert", target=self.symbol)


def set_alert(session: Session, wanted: Wanted) -> PriceAlert:
    """Sets an alert."""
    alert = PriceAlert(
        user_id=wanted.user_id,
        symbol=wanted.symbol,
        alert_type=wanted.alert_type,
        condition=wanted.condition,
        target_price=wanted.target,
        expires_at=wanted.expires_at,
    )
    session.add(alert)
    session.flush()
    return alert


def cancel_alert(session: Session, alert_id: UUID) -> None:
    """Has an alert be still from now on; one that was triggered stays as it is. Raises NotFoundError."""
    known = session.scalar(
        sa.update(PriceAlert).where(PriceAlert.id == alert_id).values(is_active=False).returning(PriceAlert.id)
    )
    if known is None:
        raise NotFoundError(
            f"there is no alert {alert_id}, or it is not yours", operation="cancel", target="invest.price_alerts"
        )


def evaluate(session: Session, ticks: Sequence[Tick], *, at: datetime) -> tuple[effects.TriggeredAlert, ...]:
    """Triggers what these ticks bring about, over all users whose alerts the session's role sees; in order of alert id.

    An alert is triggered once, whoever evaluates at the same time: it is inactive afterwards, and its user is told by
    an effect. Of several ticks that meet its condition the first by time counts. Inactive alerts, and those that have
    expired by `at`, are still.
    """
    if not ticks:
        return ()
    # locked in the order of their ids: two evaluators wait for one another, and never both
    met = (session.execute(queries.alerts_met(ticks, at=at))).all()
    if not met:
        return ()
    first = {row.id: row for row in reversed(met)}
    triggered = tuple(
        effects.TriggeredAlert(alert_id=row.id, user_id=row.user_id, symbol=row.symbol, price=row.price, time=row.time)
        for row in sorted(first.values(), key=lambda row: row.id)
    )
    session.execute(
        sa.update(PriceAlert).where(PriceAlert.id.in_(list(first))).values(is_active=False, triggered_at=at)
    )
    for alert in triggered:
        record(session, effects.ALERT_TRIGGERED, key=f"alert:{alert.alert_id}", payload=alert)
    return triggered
