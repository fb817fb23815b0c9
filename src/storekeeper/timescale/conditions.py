"""Conditions of reading: pieces of WHERE with their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from storekeeper.catalog import Range
from storekeeper.errors import ColumnError, InputError
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
    """Columns whose values are among those given. Raises ColumnError."""
    condition = Condition()
    for place, (name, values) in enumerate(where.items()):
        if name not in table.columns:
            raise ColumnError(f"there is no column {name!r}", operation=operation, target=target)
        condition &= Condition(
            f"{quoted(name)} = ANY({_array(table, name, f'among{place}')})",
            {f"among{place}": _texts(values)},
        )
    return condition


def keyed(
    table: sa.Table, by: Sequence[str], keys: Sequence[object] | None, *, operation: str, target: str
) -> Condition:
    """Rows of these keys, all where None. A key of several columns is a tuple. Raises InputError."""
    if keys is None:
        return Condition()
    rows = listed_keys(table, by, keys, operation=operation, target=target)
    if len(by) == 1:
        return Condition(f"{quoted(by[0])} = ANY({_array(table, by[0], 'key0')})", rows.parameters)
    return Condition(f"({', '.join(map(quoted, by))}) IN ({rows.sql})", rows.parameters)


def listed_keys(
    table: sa.Table, by: Sequence[str], keys: Sequence[object], *, operation: str, target: str
) -> Condition:
    """The keys as a SELECT of rows, each once. Raises InputError."""
    if isinstance(keys, str):
        raise InputError("is one text, not a list of keys", operation=operation, target=target, hint="put it in a list")
    rows = [key if isinstance(key, tuple) else (key,) for key in keys]
    if any(len(row) != len(by) for row in rows):
        raise InputError(f"a key is ({', '.join(by)})", operation=operation, target=target)
    arrays = ", ".join(_array(table, name, f"key{place}") for place, name in enumerate(by))
    return Condition(
        f"SELECT DISTINCT * FROM unnest({arrays}) AS wanted ({', '.join(map(quoted, by))})",
        {f"key{place}": _texts([row[place] for row in rows]) for place in range(len(by))},
    )


def _array(table: sa.Table, name: str, parameter: str) -> str:
    return f"CAST(CAST(:{parameter} AS text[]) AS {_open_type(table.columns[name].type)}[])"


def _texts(values: Sequence[object]) -> list[str | None]:
    """Values as the server reads them from text: an array may mix integers and decimals, UUIDs and their texts."""
    return [None if value is None else str(value) for value in values]


def _open_type(kind: sa.types.TypeEngine[object]) -> str:
    """The type without its length: a cast to VARCHAR(3) would cut what is compared."""
    return "text" if isinstance(kind, sa.String) else column_type(kind).partition("(")[0]
