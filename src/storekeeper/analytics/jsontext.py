"""Values as JSON text: numbers to their last digit, times in ISO 8601, documents as objects. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

_text = json.JSONEncoder(ensure_ascii=False).encode


def json_text(value: Any) -> str:
    """A value as JSON on one line. A Decimal is a number of all its digits, never by way of floating point.

    Moments are in UTC with Z, or without a zone where they have none; what JSON has no number for (NaN, Infinity) is
    text, and so is any other value that it does not know.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return int.__repr__(value)
        case float():
            return float.__repr__(value) if value - value == 0 else _text(str(value))
        case Decimal():
            return number_text(value) if value.is_finite() else _text(str(value))
        case datetime() | date():
            return f'"{time_text(value)}"'
        case Mapping():
            return f"{{{', '.join(f'{_text(str(name))}: {json_text(inner)}' for name, inner in value.items())}}}"
        case bytes():
            return f'"{value.hex()}"'
        case Sequence() | set() | frozenset():
            return f"[{', '.join(map(json_text, value))}]"
        case _:
            return _text(str(value))


def number_text(value: Decimal) -> str:
    """A finite decimal in digits, as many as it has: never 1E+3, which is another text for some readers."""
    return f"{value:f}"


def time_text(value: date) -> str:
    """A moment or a day in ISO 8601: 2022-08-20T00:00:00Z; without Z where the value has no zone."""
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        return value.isoformat()
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def one_line(document: str) -> str:
    """A JSON text on one line: what breaks lines there is only ever between its tokens."""
    return document.replace("\r", " ").replace("\n", " ")
