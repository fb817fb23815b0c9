"""What other stores must see of a change in the relational one."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from storekeeper import Effect
from storekeeper.domains.invest.shapes import AssetAllocation

_APPLYING = "storekeeper.domains.invest.applying"


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OfUser(_Payload):
    """Whose cached portfolio is no longer true."""

    user_id: UUID


class OfSession(_Payload):
    """A session that ended, or whose refresh token is another one now."""

    session_id: UUID


class OfPortfolio(_Payload):
    """A portfolio that is no more."""

    portfolio_id: UUID


class Snapshot(_Payload):
    """What a portfolio was worth at a moment: a row of invest.portfolio_snapshots."""

    portfolio_id: UUID
    time: datetime
    total_value: Decimal
    total_gain: Decimal
    total_gain_percent: Decimal | None
    day_change: Decimal | None
    day_change_percent: Decimal | None
    asset_allocation: AssetAllocation


class TriggeredAlert(_Payload):
    """An alert whose condition a tick met: its user is to be told."""

    alert_id: UUID
    user_id: UUID
    symbol: str
    price: Decimal
    time: datetime


PORTFOLIO_CHANGED = Effect("invest.portfolio_changed", payload=OfUser, apply=f"{_APPLYING}:forget_portfolio")
PORTFOLIO_VALUED = Effect("invest.portfolio_valued", payload=Snapshot, apply=f"{_APPLYING}:append_snapshot")
PORTFOLIO_DELETED = Effect("invest.portfolio_deleted", payload=OfPortfolio, apply=f"{_APPLYING}:delete_snapshots")
SESSION_CHANGED = Effect("invest.session_changed", payload=OfSession, apply=f"{_APPLYING}:forget_session")
ALERT_TRIGGERED = Effect("invest.alert_triggered", payload=TriggeredAlert, apply=f"{_APPLYING}:notify")

EFFECTS = (PORTFOLIO_CHANGED, PORTFOLIO_VALUED, PORTFOLIO_DELETED, SESSION_CHANGED, ALERT_TRIGGERED)


def of_user(user_id: UUID) -> str:
    """The key under which effects on what is cached of a user are ordered."""
    return f"user:{user_id}"


def of_portfolio(portfolio_id: UUID) -> str:
    """The key under which the snapshots of a portfolio are written, and deleted, in order."""
    return f"portfolio:{portfolio_id}"
