"""One effect on its way: what its function is told, where that function is, and how long a failed one waits. Pure."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import BaseModel, ValidationError

from storekeeper.catalog import Effect
from storekeeper.errors import DeclarationError, StorekeeperError, ValueFitError

if TYPE_CHECKING:
    from storekeeper.platform import Platform

_FIRST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which delivery of an effect this is.

    `position` is the effect's place among all: of two effects of one key the later has the higher, so it serves as a
    version that only moves forward. `recorded_at` is the server's time; `attempt` counts from 1, and an attempt that
    was cut off before it could be noted is not counted.
    """

    position: int
    key: str
    recorded_at: datetime
    attempt: int


class Applied(Protocol):
    """What `Effect.apply` names. It is called again for what was applied already, and changes nothing then."""

    def __call__(self, platform: Platform, payload: Any, delivery: Delivery, /) -> None: ...


@cache
def function_of(apply: str) -> Applied:
    """Imports the function that an effect names as "module:function". Raises DeclarationError."""
    module, _, name = apply.partition(":")
    try:
        found: Applied = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DeclarationError(str(error), operation="load the function of an effect", target=apply) from error
    return found


def payload_of(effect: Effect, carried: Any) -> BaseModel:
    """The payload that was recorded, as the effect's model. Raises ValueFitError, which holds no value."""
    try:
        return effect.payload.model_validate(carried)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueFitError(
            f"{where or 'the payload'}: {first['msg']}",
            operation="read",
            target=effect.name,
            hint="it was recorded by another release: let the model take its older shape too",
        ) from error


def wait_after(failures: int) -> timedelta:
    """How long an effect waits after that many failed attempts: from 5 seconds, doubled each time, to 10 minutes."""
    return min(_FIRST_WAIT * (1 << min(failures - 1, 20)), _LONGEST_WAIT)


def reason_of(error: Exception) -> str:
    """What the outbox keeps of a failure. Of an error that is not storekeeper's, its kind and the line that raised it:
    its text may hold values."""
    if isinstance(error, StorekeeperError):
        return f"{type(error).__name__}: {error}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
