"""Keyset pagination, pure: where a page goes on is a condition on the order's columns, never an OFFSET."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import desc_op

from storekeeper.errors import InputError

T = TypeVar("T")

#: The most that a page holds.
MOST = 1000

Order = Sequence[sa.ColumnExpressionArgument[Any]]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a listing, and the cursor from which the next page goes on: None after the last.

    Rows that come or go meanwhile shift nothing: a page starts after a row, not after a number of rows.
    """

    items: tuple[T, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Key:
    """One part of an order: an expression that is never NULL, ascending or descending."""

    expression: sa.ColumnElement[Any]
    descending: bool


def keys(by: Order) -> tuple[Key, ...]:
    """The parts of an order. Raises InputError where a part may be NULL: rows without it would be on no page."""
    found = []
    for part in by:
        expression: Any = sa.inspect(part, raiseerr=False) if not isinstance(part, sa.ColumnElement) else None
        expression = getattr(expression, "expression", None) if expression is not None else part
        descending = isinstance(expression, UnaryExpression) and expression.modifier is desc_op
        if isinstance(expression, UnaryExpression) and expression.modifier is not None:
            expression = expression.element
        if isinstance(expression, sa.Column) and expression.nullable:
            raise InputError(
                f"{expression.name} may be NULL", operation="page by", target=str(expression), hint="coalesce it"
            )
        found.append(Key(expression, descending))
    if not found:
        raise InputError("needs an order that ends in a unique column", operation="page")
    return tuple(found)


def ordered(keys: Sequence[Key]) -> list[sa.ColumnElement[Any]]:
    """The ORDER BY."""
    return [key.expression.desc() if key.descending else key.expression.asc() for key in keys]


def beyond(keys: Sequence[Key], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether a row comes after the one of these values.

    One comparison of rows where all parts have one direction, which an index answers at once; else a bound on the first
    part, which an index answers too, and the rest spelt out.
    """
    bounds = [sa.literal(value, key.expression.type) for key, value in zip(keys, values, strict=True)]
    if len({key.descending for key in keys}) == 1:
        ours = sa.tuple_(*(key.expression for key in keys))
        theirs = sa.tuple_(*bounds)
        return ours < theirs if keys[0].descending else ours > theirs
    spelt = []
    for at, key in enumerate(keys):
        equal = [other.expression == bound for other, bound in zip(keys[:at], bounds[:at], strict=True)]
        spelt.append(sa.and_(*equal, _past(key, bounds[at])))
    first = keys[0].expression <= bounds[0] if keys[0].descending else keys[0].expression >= bounds[0]
    return sa.and_(first, sa.or_(*spelt))


def encode(keys: Sequence[Key], values: Sequence[Any]) -> str:
    """A cursor: opaque to its bearer, bound to this order. It holds the values of the order's columns, readable."""
    text = json.dumps([_order(keys), *(_tagged(value) for value in values)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# binascii.Error and UnicodeError are ValueErrors
_NO_CURSOR = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def decode(keys: Sequence[Key], cursor: str) -> list[Any]:
    """The values in a cursor. Raises InputError where it is none, or one of another order."""
    try:
        order, *tagged = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        values = [_READ[kind](text) for kind, text in tagged]
        # half of a surrogate pair is text to Python, and none to the server
        str(values).encode()
    except _NO_CURSOR as error:
        raise InputError("is not a cursor", operation="page", hint="pass `next` of the page before") from error
    if order != _order(keys) or len(values) != len(keys) or not all(map(_suits, keys, values)):
        raise InputError("is the cursor of another order", operation="page", hint="start again without a cursor")
    return values


def checked_limit(limit: int) -> int:
    """Raises InputError where a page would be empty, or too large."""
    if not 1 <= limit <= MOST:
        raise InputError(f"a page holds 1 to {MOST} rows, not {limit}", operation="page")
    return limit


def _suits(key: Key, value: Any) -> bool:
    """Whether the server could compare this value with the key's expression."""
    try:
        kind = key.expression.type.python_type
    except NotImplementedError:  # SQLAlchemy knows no Python type for it: the server judges
        return True
    return isinstance(value, kind)


def _past(key: Key, bound: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return key.expression < bound if key.descending else key.expression > bound


def _order(keys: Sequence[Key]) -> str:
    text = ",".join(f"{key.expression}{' desc' if key.descending else ''}" for key in keys)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _tagged(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "b", value
    if isinstance(value, int):
        return "i", value
    if isinstance(value, datetime):
        return "t", value.isoformat()
    if isinstance(value, date):
        return "a", value.isoformat()
    if isinstance(value, Decimal):
        return "d", str(value)
    if isinstance(value, UUID):
        return "u", str(value)
    if isinstance(value, float):
        return "f", value.hex()
    if isinstance(value, str):
        return "s", value
    raise InputError(f"no page goes by a {type(value).__name__}", operation="page")


_READ: dict[str, Callable[[Any], Any]] = {
    "b": bool,
    "i": int,
    "t": datetime.fromisoformat,
    "a": date.fromisoformat,
    "d": Decimal,
    "u": UUID,
    "f": float.fromhex,
    "s": str,
}
