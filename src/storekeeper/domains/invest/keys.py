"""The keys of the invest domain in the redis store: live sessions, quotes, caches, counters, subscriptions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from storekeeper import Keyspace, RateLimit, days, hours, minutes


class _Fields(BaseModel):
    """The fields of a hash; objects and lists are written as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LiveSession(_Fields):
    """A session that is in use; `refresh_token` is the digest that invest.sessions holds too."""

    user_id: UUID
    refresh_token: str
    device_info: dict[str, Any]
    created_at: AwareDatetime


class Quote(_Fields):
    """The latest price of a symbol, and its change since the close before."""

    price: Decimal
    change: Decimal | None = None
    change_percent: Decimal | None = None
    volume: Decimal | None = None
    updated_at: AwareDatetime


class PortfolioValue(_Fields):
    """What a user's portfolio is worth, ready to be shown."""

    total_value: Decimal
    total_gain: Decimal | None = None
    assets: list[dict[str, Any]]


class Analysis(_Fields):
    """A model's view of a symbol; `confidence` in percent."""

    recommendation: str
    confidence: Decimal
    analysis: dict[str, Any]
    analyzed_at: AwareDatetime


SESSION = Keyspace("session:{session_id}", kind="hash", model=LiveSession, ttl=days(30), owner="user_id")
QUOTE = Keyspace("stock:{symbol}:quote", kind="hash", model=Quote, ttl=minutes(1))
PORTFOLIO = Keyspace("portfolio:{user_id}", kind="hash", model=PortfolioValue, ttl=minutes(5), owner="user_id")
RATE_LIMIT = Keyspace("ratelimit:{user_id}:{endpoint}", kind="string", ttl=minutes(1), owner="user_id")
SUBSCRIPTIONS = Keyspace("subscriptions:{symbol}", kind="set")
ANALYSIS = Keyspace("ai:analysis:{symbol}", kind="hash", model=Analysis, ttl=hours(1))

#: What one user may ask of one endpoint in a minute.
REQUESTS = RateLimit(RATE_LIMIT, limit=100, window=minutes(1))
