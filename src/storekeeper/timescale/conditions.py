"""Conditions of reading: pieces of WHERE with their parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper.catalog import Range, plain_type
from storekeeper.clock import as_utc
from storekeeper.errors import ColumnError, InputError, ValueFitError
from storekeeper.timescale.quoting import column_type, quoted


@dataclass(frozen=True)
class Condition:
    """An expression, and its parameters. The names of these are unique within one statement by their prefix."""

    sql: str = "true"
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __and__(self, other: Condition) -> Condition:
        if "true" in (self.sql, other.sql):
            return other if self.sql == "true" else self
        return Condition(f"{self.sql} AND {other.sql}", {**self.parameters, **other.parameters})


def since(column: str, lower: object | None, upper: object | None, prefix: str) -> Condition:
    """lower ≤ column < upper; None leaves an end open."""
    parts, parameters = [], {}
    for operator, bound, name in ((">=", lower, f"{prefix}_lower"), ("<", upper, f"{prefix}_upper")):
        if bound is not None:
            parts.append(f"{quoted(column)} {operator} :{name}")
            parameters[name] = bound
    return Condition(" AND ".join(parts) or "true", parameters)


def check_range(start: datetime | None, end: datetime | None, *, operation: str, target: str) -> None:
    """Raises InputError where [start, end) has no moment in it; None leaves an end open."""
    if start is not None and end is not None and end <= start:
        raise InputError(
            f"ends at {end:%Y-%m-%d %H:%M:%S} UTC, before it begins at {start:%Y-%m-%d %H:%M:%S} UTC",
            operation=operation,
            target=target,
            hint="the end is the first moment that is not asked for",
        )


def within_any(column: str, windows: Iterable[Range], prefix: str) -> Condition:
    """Within one of these windows; spelled out, so that the planner leaves out the chunks that no window touches."""
    pieces = [since(column, window.lower, window.upper, f"{prefix}{place}") for place, window in enumerate(windows)]
    if not pieces:
        return Condition("false")
    parameters = {name: value for piece in pieces for name, value in piece.parameters.items()}
    return Condition(f"({' OR '.join(f'({piece.sql})' for piece in pieces)})", parameters)


def negated(condition: Condition) -> Condition:
    if condition.sql in ("true", "false"):
        return Condition("false" if condition.sql == "true" else "true")
    return Condition(f"NOT {condition.sql}", condition.parameters)


def among(table: sa.Table, where: Mapping[str, Sequence[object]], *, operation: str, target: str) -> Condition:
    """Columns whose values are among those given; NULL never is. Raises ColumnError, InputError."""
    if not isinstance(where, Mapping):
        raise InputError(
            f"where={where!r:.60} says of no column which values it may have",
            operation=operation,
            target=target,
            hint='write {"symbol": ["AAPL", "MSFT"]}',
        )
    condition = Condition()
    for place, (name, values) in enumerate(where.items()):
        if name not in table.columns.keys():  # noqa: SIM118  # the columns themselves are also known by their numbers
            hint = f"it has {', '.join(table.columns.keys())}"
            raise ColumnError(f"there is no column {name!r}", operation=operation, target=target, hint=hint)
        column, values = table.columns[name], _listed(values, f"values of {name}", operation=operation, target=target)
        if isinstance(kind := plain_type(column.type), (sa.ARRAY, sa.JSON)) and not isinstance(kind, JSONB):
            raise InputError(
                f"{name} holds lists or documents, which are not compared with values",
                operation=operation,
                target=target,
                hint="read the range, and filter the answer",
            )
        condition &= Condition(
            f"{quoted(name)} = ANY({_array(table, name, f'among{place}')})",
            {f"among{place}": [_text(one, column, operation, target) for one in values if _possible(one, column)]},
        )
    return condition


def keyed(
    table: sa.Table, by: Sequence[str], keys: Sequence[object] | None, *, operation: str, target: str
) -> Condition:
    """Rows of these keys, all where None. A key of several columns is a tuple. Raises InputError."""
    if keys is None:
        return Condition()
    if not by:
        raise InputError(
            "its rows have no key: it is declared without natural key and segments", operation=operation, target=target
        )
    rows = listed_keys(table, by, keys, operation=operation, target=target)
    if len(by) == 1:
        return Condition(f"{quoted(by[0])} = ANY({_array(table, by[0], 'key0')})", rows.parameters)
    return Condition(f"({', '.join(map(quoted, by))}) IN ({rows.sql})", rows.parameters)


def listed_keys(
    table: sa.Table, by: Sequence[str], keys: Sequence[object], *, operation: str, target: str
) -> Condition:
    """The keys as a SELECT of rows, each once; of rows without a key (an empty tuple) there is one. Raises
    InputError."""
    listed = _listed(keys, "keys", operation=operation, target=target)
    rows = [key if isinstance(key, tuple) else (key,) for key in listed]
    if any(len(row) != len(by) for row in rows):
        raise InputError(f"a key is ({', '.join(by)})", operation=operation, target=target)
    if not by:
        return Condition(f"SELECT WHERE {'true' if rows else 'false'}")
    columns = [table.columns[name] for name in by]
    rows = [row for row in rows if all(map(_possible, row, columns))]
    arrays = ", ".join(_array(table, name, f"key{place}") for place, name in enumerate(by))
    return Condition(
        f"SELECT DISTINCT * FROM unnest({arrays}) AS wanted ({', '.join(map(quoted, by))})",
        {
            f"key{place}": [_text(row[place], column, operation, target) for row in rows]
            for place, column in enumerate(columns)
        },
    )


def _array(table: sa.Table, name: str, parameter: str) -> str:
    return f"CAST(CAST(:{parameter} AS text[]) AS {_open_type(table.columns[name].type)}[])"


def _listed(values: Any, what: str, *, operation: str, target: str) -> Sequence[object]:
    """Values that can be gone through again. Raises InputError where they are one value, or an iterator."""
    if isinstance(values, (str, bytes)) or not all(isinstance(values, kind) for kind in (Sized, Iterable)):
        raise InputError(
            f"{values!r:.60} is no list of {what}", operation=operation, target=target, hint="put it in a list"
        )
    listed: Sequence[object] = values
    return listed


def _text(value: object, column: sa.Column[object], operation: str, target: str) -> str | None:
    """A value as the server reads it from text: an array may mix integers and decimals, UUIDs and their texts. Raises
    NaiveTimeError where an instant has no zone, ValueFitError where it is no text at all."""
    if value is None:
        return None
    if isinstance(value, datetime) and isinstance(column.type, sa.DateTime) and column.type.timezone:
        value = as_utc(value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueFitError(
            f"{text!a} is no text: it has a surrogate", operation=operation, target=target, column=column.name
        ) from error
    return text


def _possible(value: object, column: sa.Column[object]) -> bool:
    """Whether a column can hold this value: the server refuses to compare with an integer that is too large for it."""
    if not isinstance(value, int):
        return True
    widest = next((bits for kind, bits in _BITS if isinstance(column.type, kind)), None)
    return widest is None or -(2 ** (widest - 1)) <= value < 2 ** (widest - 1)


_BITS: Final = ((sa.SmallInteger, 16), (sa.BigInteger, 64), (sa.Integer, 32))


def _open_type(kind: sa.types.TypeEngine[object]) -> str:
    """The type without its length or precision: a cast to VARCHAR(3) would cut what is compared."""
    return "text" if isinstance(kind, sa.String) else re.sub(r" ?\(\d+(, ?-?\d+)?\)", "", column_type(kind))
