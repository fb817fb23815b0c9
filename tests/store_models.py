"""Small declarations for the tests of the document and key stores, shaped as an installation's are."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from storekeeper.catalog import Catalog, Collection, DocumentIndex, Domain, Keyspace, RateLimit
from storekeeper.span import days, minutes


class Camel(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Log(Camel):
    """Shaped like a line of a system's log."""

    timestamp: AwareDatetime
    level: Literal["info", "warn", "error"]
    service: str
    message: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    user_id: UUID | None = Field(None, alias="userId")
    stack_trace: str | None = Field(None, alias="stackTrace")


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


class Range(BaseModel):
    low: float
    high: float | None = None


class Forecast(Camel):
    """Has every sort of field."""

    symbol: Annotated[str, Field(min_length=1, max_length=10, pattern="^[A-Z.]+$")]
    made_at: AwareDatetime = Field(alias="madeAt")
    confidence: Annotated[float, Field(ge=0, le=1)]
    target: Annotated[Decimal, Field(gt=0)]
    side: Side
    samples: int
    horizon: Literal["1d"] | None = None
    within: Range | None = None
    steps: list[Range] = Field(default_factory=list)
    weights: dict[str, float] = Field(default_factory=dict)
    label: int | str | None = None
    blob: bytes | None = None


class Session(BaseModel):
    """Shaped like a session."""

    user_id: UUID
    refresh_token: str
    device_info: dict[str, Any]
    created_at: AwareDatetime


class Quote(BaseModel):
    """Shaped like a stock's quote."""

    price: Decimal
    change: Decimal | None = None
    volume: int
    halted: bool = False
    side: Side | None = None
    updated_at: AwareDatetime


LOGS = Collection(
    "logs",
    Log,
    "timestamp",
    days(30),
    (
        DocumentIndex((("timestamp", -1),)),
        DocumentIndex((("service", 1), ("timestamp", -1))),
        DocumentIndex((("userId", 1), ("timestamp", -1))),
    ),
)
FORECASTS = Collection(
    "forecasts", Forecast, "madeAt", days(180), (DocumentIndex((("symbol", 1), ("madeAt", -1)), unique=True),)
)
SESSION = Keyspace("session:{session_id}", "hash", days(30), Session, owner="user_id")
QUOTE = Keyspace("stock:{symbol}:quote", "hash", minutes(1), Quote)
LIMITED = Keyspace("ratelimit:{user_id}:{endpoint}", "string", minutes(1), owner="user_id")
SUBSCRIPTIONS = Keyspace("subscriptions:{symbol}", "set")
WATCHERS = Keyspace("watchers:{symbol}", "set", minutes(5))
VISITS = Keyspace("visits:{page}", "string", minutes(5))
TOTALS = Keyspace("totals:{page}", "string")
TEN_A_MINUTE = RateLimit(LIMITED, 10, minutes(1))

CATALOG = Catalog(
    (
        Domain(
            "market",
            collections=(LOGS, FORECASTS),
            keyspaces=(SESSION, QUOTE, LIMITED, SUBSCRIPTIONS, WATCHERS, VISITS, TOTALS),
            rate_limits=(TEN_A_MINUTE,),
        ),
    )
)
