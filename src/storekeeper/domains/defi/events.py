"""Events as values, and what is made of them by folding; no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from storekeeper import InputError

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Stream:
    """The events of one aggregate. Ids are unique over all types."""

    type: str
    id: UUID

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is to be appended. A payload is an object: a mapping, or a pydantic model.

    Decimal, UUID and datetime become strings in it; what must stay exact is not a float.
    """

    type: str
    payload: Mapping[str, Any] | BaseModel
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was appended: `id` orders all events, `version` those of a stream, from 1 on without a gap."""

    id: int
    stream: Stream
    version: int
    type: str
    payload: dict[str, Any]
    meta: dict[str, Any]
    occurred_at: datetime


class EventRow(NamedTuple):
    """An event with its JSON as the server's text, which is how files hold it: nothing of a number is lost."""

    id: int
    aggregate_type: str
    aggregate_id: UUID
    version: int
    event_type: str
    payload: str
    metadata: str
    occurred_at: datetime


def stored(row: EventRow) -> StoredEvent:
    """The event of a row."""
    return StoredEvent(
        row.id,
        Stream(row.aggregate_type, row.aggregate_id),
        row.version,
        row.event_type,
        json.loads(row.payload),
        json.loads(row.metadata),
        row.occurred_at,
    )


def project(events: Iterable[StoredEvent], initial: S, apply: Callable[[S, StoredEvent], S]) -> S:
    """What `events` make of `initial`, one after another. `apply` returns the new state and changes nothing."""
    return reduce(apply, events, initial)


def as_json(stream: Stream, expected_version: int, events: Sequence[NewEvent]) -> str:
    """The events as one JSON array, versions included. Raises InputError where there are none, or one has no JSON."""
    if not events:
        raise InputError("there is no event to append", operation="append to", target=str(stream))
    if expected_version < 0:
        raise InputError("versions are counted from 0", operation="append to", target=str(stream))
    listed = [
        {
            "version": version,
            "event_type": event.type,
            "payload": _plain(stream, event, event.payload),
            "metadata": _plain(stream, event, event.meta),
        }
        for version, event in enumerate(events, expected_version + 1)
    ]
    return json.dumps(listed, allow_nan=False)


def _plain(stream: Stream, event: NewEvent, value: Mapping[str, Any] | BaseModel) -> Any:
    given = value if isinstance(value, BaseModel) else dict(value)
    try:
        plain = to_jsonable_python(given, by_alias=True)
        json.dumps(plain, allow_nan=False)
    except (PydanticSerializationError, ValueError) as error:
        raise InputError(
            f"event {event.type} holds what is no JSON", operation="append to", target=str(stream)
        ) from error
    return plain
