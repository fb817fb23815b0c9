"""One JSON object a line, by the names that structured loggers give their fields.

{"time": "2024-05-17T10:05:03.120Z", "level": "warn", "service": "auth", "msg": "slow", "ms": 812}
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from storekeeper.ingest.logs.line import Beginning, Format, LineError, each
from storekeeper.ingest.logs.stamps import read_stamp
from storekeeper.ingest.logs.traces import text_and_trace
from storekeeper.stores.sql.intake.strict_json import StrictJsonError, members_once, no_constant

#: The first of these that an object has is meant; a dotted name is also looked for inside.
_TIMES = ("timestamp", "@timestamp", "time", "ts", "datetime", "date", "eventTime")
_LEVELS = ("level", "severity", "log.level", "levelname", "loglevel", "lvl")
_MESSAGES = ("message", "msg", "text", "event")
_SERVICES = ("service", "service.name", "serviceName", "service_name", "app", "application")
_IDS = {"userId": ("userId", "user_id"), "requestId": ("requestId", "request_id")}
_TRACES = ("stackTrace", "stack_trace", "stack", "error.stack_trace", "exc_info", "traceback", "exception")
#: MongoDB nests documents no deeper than this.
MOST_NESTED = 100


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object that a line is. Raises LineError: it is none, names a field twice, or nests too deep."""
    try:
        found = _DECODER.decode(text.strip())
    except RecursionError as error:
        raise LineError(f"nests deeper than {MOST_NESTED} levels") from error
    except StrictJsonError as error:
        raise LineError(str(error)) from error
    except ValueError as error:
        said = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise LineError(f"is no JSON: {said}") from error
    if not isinstance(found, dict):
        raise LineError("is no JSON object")
    check_depth(text, found)
    return found


def check_depth(text: str, value: Any) -> None:
    """Raises LineError where the value of a JSON text nests deeper than a document may."""
    if text.count("{") + text.count("[") > MOST_NESTED and _depth(value) > MOST_NESTED:
        raise LineError(f"nests deeper than {MOST_NESTED} levels")


def _read(line: str, time_format: str | None) -> Beginning | None:
    left = parse_object(line)
    time = _take(left, _TIMES, (str, int, float))
    if time is None:
        raise LineError("has no time: it would be named " + ", ".join(_TIMES))
    message = _take(left, _MESSAGES, (str,))
    if message is None:
        raise LineError("has no message: it would be named " + ", ".join(_MESSAGES))
    level = _take(left, _LEVELS, (str, int))
    fields: dict[str, Any] = {}
    if (service := _take(left, _SERVICES, (str,))) is not None:
        fields["service"] = service
    for name, names in _IDS.items():
        if (identity := _take(left, names, (str,), is_uuid)) is not None:
            fields[name] = identity
    if (trace := _take(left, _TRACES, (str,))) is not None:
        fields["stackTrace"] = trace
    nested = left.pop("metadata", None)
    # an object of that name is what it says, with the rest beside it
    metadata = {**nested, **left} if isinstance(nested, dict) else left
    if nested is not None and not isinstance(nested, dict):
        metadata["metadata"] = nested
    return Beginning(read_stamp(time, time_format), level, message, metadata, fields)


def is_uuid(value: object) -> bool:
    """Whether a text is a UUID: who or what is named otherwise stays in the metadata."""
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def _take(left: dict[str, Any], names: tuple[str, ...], kinds: tuple[type, ...], fits: Any = lambda _: True) -> Any:
    """The value under the first of these names that has one of this kind, taken out of the object."""
    for name in names:
        inside, _, last = name.rpartition(".")
        holder: Any = left
        if name not in left and inside:
            holder, name = left.get(inside), last
        if isinstance(holder, dict) and name in holder:
            value = holder[name]
            if isinstance(value, kinds) and not isinstance(value, bool) and value != "" and fits(value):
                del holder[name]
                return value
    return None


def _depth(value: Any) -> int:
    """How deep it nests, without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        inner, depth = waiting.pop()
        values = inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ()
        if isinstance(inner, (dict, list)):
            deepest = max(deepest, depth)
            waiting.extend((part, depth + 1) for part in values)
    return deepest


_DECODER = json.JSONDecoder(object_pairs_hook=members_once, parse_constant=no_constant)


def json_format(time_format: str | None) -> Format:
    """The format of JSON lines whose times are ISO 8601, numbers, or texts of `time_format`."""
    return Format(
        "json",
        each(lambda line: _read(line, time_format) if line.strip() else None),
        text_and_trace,
        years="some",
        zones="some",
        named=True,
        multiline=False,
    )
