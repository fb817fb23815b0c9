"""The documents of the invest domain: log lines of its services."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from storekeeper import Collection, DocumentIndex, days

#: Levels that other loggers know, by the one of the three under which they are kept.
LEVELS = {
    "trace": "info",
    "debug": "info",
    "notice": "info",
    "warning": "warn",
    "critical": "error",
    "fatal": "error",
    "alert": "error",
    "emergency": "error",
}


class SystemLog(BaseModel):
    """One log line. `service` is an open set; the shipped ones are auth, market, portfolio and ai.

    Another logger's level becomes one of the three, the original kept as metadata.level; no level is info.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

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
        if level not in LEVELS:
            return line
        return {**line, "level": LEVELS[level], "metadata": {"level": original, **(line.get("metadata") or {})}}


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
