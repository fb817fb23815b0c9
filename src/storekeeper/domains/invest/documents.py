"""The documents of the invest domain: log lines of its services, events of its users, results of its models."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from storekeeper import LOG_LEVELS, Collection, DocumentIndex, days


class _Document(BaseModel):
    """A document: fields in camelCase as they are stored, others refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", allow_inf_nan=False)


class _Object(BaseModel):
    """An object within a document: the fields that are known, and whatever else is kept as it comes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", allow_inf_nan=False)


class SystemLog(_Document):
    """One log line. `service` is an open set; the shipped ones are auth, market, portfolio and ai.

    Another logger's level becomes one of the three, the original kept as metadata.level; no level is info.
    """

    timestamp: AwareDatetime
    level: Literal["info", "warn", "error"] = "info"
    service: str = Field(min_length=1)
    message: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    user_id: UUID | None = None
    request_id: UUID | None = None
    stack_trace: str | None = Field(None, description="of errors")

    @model_validator(mode="before")
    @classmethod
    def _map_level(cls, line: Any) -> Any:
        if not isinstance(line, dict):
            return line
        original = line.get("level")
        if original is None:
            return {**line, "level": "info"}
        if not isinstance(original, str):
            return line
        level = original.lower()
        if level in ("info", "warn", "error"):
            return {**line, "level": level}
        if level not in LOG_LEVELS:
            return line
        return {**line, "level": LOG_LEVELS[level], "metadata": {"level": original, **(line.get("metadata") or {})}}


class EventProperties(_Object):
    """What an event is about."""

    page: str | None = None
    action: str | None = None
    symbol: str | None = None


class EventContext(_Object):
    """Where an event came from."""

    user_agent: str | None = None
    ip: str | None = None
    referrer: str | None = None
    device_type: str | None = None


class AnalyticsEvent(_Document):
    """One thing that a visitor did; without a user where nobody was signed in."""

    event_type: str = Field(min_length=1)
    user_id: UUID | None = None
    session_id: UUID | None = None
    timestamp: AwareDatetime
    properties: EventProperties = Field(default_factory=EventProperties)
    context: EventContext = Field(default_factory=EventContext)


class PredictedRange(_Object):
    """Between which prices."""

    low: Decimal
    high: Decimal


class Prediction(_Object):
    """What a model foresees: a price, how sure it is, and how far ahead (`horizon`, such as 7d)."""

    target_price: Decimal
    confidence: float
    horizon: str | None = None
    range: PredictedRange | None = None


class MlResult(_Document):
    """One prediction of a model; `accuracy` once it is known how right it was."""

    model_name: str = Field(min_length=1)
    model_version: str = Field(min_length=1)
    symbol: str = Field(min_length=1, max_length=32)
    timestamp: AwareDatetime
    prediction: Prediction
    features: dict[str, Any] = Field(default_factory=dict)
    accuracy: float | None = None


LOGS = Collection(
    "logs",
    model=SystemLog,
    time="timestamp",
    drop_after=days(30),
    indexes=(
        DocumentIndex((("timestamp", -1),)),
        DocumentIndex((("service", 1), ("timestamp", -1))),
        DocumentIndex((("level", 1), ("timestamp", -1))),
        DocumentIndex((("userId", 1), ("timestamp", -1))),
    ),
)

ANALYTICS = Collection(
    "analytics",
    model=AnalyticsEvent,
    time="timestamp",
    drop_after=days(90),
    indexes=(
        DocumentIndex((("eventType", 1), ("timestamp", -1))),
        DocumentIndex((("userId", 1), ("timestamp", -1))),
    ),
)
ML_RESULTS = Collection(
    "ml_results",
    model=MlResult,
    time="timestamp",
    drop_after=days(180),
    indexes=(
        DocumentIndex((("symbol", 1), ("timestamp", -1))),
        DocumentIndex((("modelName", 1), ("modelVersion", 1))),
    ),
)
