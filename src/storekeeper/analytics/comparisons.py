"""--where: a column, an operator and a value, as text; what becomes of it in SQL and in MongoDB. Pure.

A value never stands in the text of a statement: it is a parameter, cast to the type of its column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, cast
from uuid import UUID

import sqlalchemy as sa

from storekeeper.analytics.annotations import members
from storekeeper.analytics.datasets import Documents, checked_columns
from storekeeper.catalog import plain_type
from storekeeper.errors import InputError, ValueFitError
from storekeeper.timescale.conditions import Condition
from storekeeper.timescale.quoting import column_type, quoted

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
_WRITTEN = re.compile(r"\s*([^\s=!<>]+)(\s*)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_MONGO = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """column OP value. No value stands for what is empty: NULL, or a text without characters."""

    column: str
    operator: Operator
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"


def parse(text: str) -> Comparison:
    """Reads 'level=error', 'price>=10.5', 'deleted_at!='. Raises InputError."""
    match = _WRITTEN.fullmatch(text)
    if match is None or (not match[4].strip() and match[3] not in ("=", "!=")):
        raise InputError(
            f"{text!r} is no column=value",
            operation="query",
            target="where",
            hint="write it like level=error (--where level=error); the operators are =, !=, <, <=, >, >=",
        )
    value = match[4].strip() if match[2] else match[4]
    return Comparison(match[1], cast("Operator", match[3]), value)


def sql_condition(table: sa.Table, comparisons: Sequence[Comparison]) -> Condition:
    """All of these hold of a row; of several `=` on one column, any of them. The columns are the table's."""
    condition = Condition()
    for place, (column, operator, values) in enumerate(_grouped(comparisons)):
        condition &= _sql(table.columns[column], operator, values, f"where{place}")
    return condition


def mongo_filter(documents: Documents, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The same of documents, whose fields may be dotted. Raises ColumnError, and ValueFitError where a value is none of
    its field."""
    wanted: list[dict[str, Any]] = []
    for column, operator, values in _grouped(comparisons):
        checked_columns(documents, [column.partition(".")[0]])
        candidates = [one for value in values for one in _stored(documents, column, value)]
        if operator == "=":
            wanted.append({column: {"$in": candidates}})
        elif operator == "!=":
            wanted.append({column: {"$nin": candidates}})
        else:
            # a number where the field may be either, as 9 < 10 and "9" > "10"
            wanted.append({column: {_MONGO[operator]: candidates[-1]}})
    return {"$and": wanted} if len(wanted) > 1 else (wanted[0] if wanted else {})


def _grouped(comparisons: Sequence[Comparison]) -> list[tuple[str, Operator, list[str]]]:
    """In their order; `=` of one column in one, the others one by one."""
    grouped: dict[tuple[str, str, int], list[str]] = {}
    for place, one in enumerate(comparisons):
        grouped.setdefault((one.column, one.operator, -1 if one.operator == "=" else place), []).append(one.value)
    return [(column, cast("Operator", operator), values) for (column, operator, _), values in grouped.items()]


def _sql(column: sa.Column[Any], operator: Operator, values: Sequence[str], prefix: str) -> Condition:
    name, kind = quoted(column.name), plain_type(column.type)
    if operator not in ("=", "!="):
        if isinstance(kind, (sa.ARRAY, sa.JSON)):
            raise InputError(
                f"{operator} is not for lists and objects",
                operation="query",
                target=f"{column.table}.{column.name}",
                hint="compare them by = or !=",
            )
        return Condition(f"{name} {operator} CAST(CAST(:{prefix} AS text) AS {_cast(kind)})", {prefix: values[0]})
    parts: list[str] = []
    parameters: dict[str, object] = {}
    for place, value in enumerate(values):
        parameter = f"{prefix}_{place}"
        if value == "":
            parts.append(f"{name} IS NULL" + (f" OR {name} = ''" if _is_text(kind) else ""))
        elif isinstance(kind, sa.ARRAY):
            parts.append(f"CAST(CAST(:{parameter} AS text) AS {_cast(kind.item_type)}) = ANY({name})")
            parameters[parameter] = value
        else:
            parts.append(f"{name} = CAST(CAST(:{parameter} AS text) AS {_cast(kind)})")
            parameters[parameter] = value
    any_of = f"({' OR '.join(parts)})" if len(parts) > 1 or " OR " in parts[0] else parts[0]
    # a comparison with NULL is NULL, which is not the value either
    return Condition(any_of if operator == "=" else f"({any_of}) IS NOT TRUE", parameters)


def _is_text(kind: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(kind, sa.String) and not isinstance(kind, sa.Enum)


def _cast(kind: sa.types.TypeEngine[Any]) -> str:
    """The type without its length or scale: a cast to those would change what is compared."""
    if _is_text(kind):
        return "text"
    return "numeric" if isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float) else column_type(kind)


def _stored(documents: Documents, field: str, text: str) -> list[Any]:
    """What a value of the command line may be in a document: by the model's type of the field, else as it looks."""
    from pydantic import TypeAdapter, ValidationError

    if text == "":
        return [None, ""]
    annotation = _annotation(documents.fields, field)
    if annotation is Any:
        return [text, *_looks_like(text)]
    try:
        dated = bool({date, datetime} & set(members(annotation)))
        value = TypeAdapter(annotation).validate_python(_in_utc(text) if dated else text)
    except ValidationError as error:
        raise ValueFitError(
            f"{text!r} is none of its values: {error.errors()[0]['msg']}",
            operation="query",
            target=f"{documents.name} {field}",
            column=field,
            hint="compare it with a value of its own type",
        ) from error
    return [value]


def _annotation(fields: dict[str, Any], field: str) -> Any:
    """The type of a field, dotted where nested; Any where the model leaves it open."""
    from pydantic import BaseModel

    head, _, rest = field.partition(".")
    kinds = members(fields[head]) if head in fields else ()
    nested = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    if nested is not None:
        inner = {info.alias or name: info.annotation for name, info in nested.model_fields.items()}
        return _annotation(inner, rest) if rest else Any
    open_ = not kinds or any(kind is Any or kind in (object, dict, list, tuple, set) for kind in kinds)
    return Any if rest or open_ else fields[head]


def _in_utc(text: str) -> str:
    """A day or a time without a zone, in UTC; any other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo is not None or text.isdigit() else moment.replace(tzinfo=UTC).isoformat()


def _looks_like(text: str) -> list[Any]:
    if text in ("true", "false"):
        return [text == "true"]
    for kind in (int, float):
        try:
            return [kind(text)]
        except ValueError:
            continue
    try:
        return [UUID(text)]
    except ValueError:
        return []
