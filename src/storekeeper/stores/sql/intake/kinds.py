"""Kinds of columns: what a PostgreSQL type takes, and the Arrow type that carries it on its way there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from storekeeper.errors import DeclarationError
from storekeeper.stores.sql.arrow import DataType, pa

KindName = Literal[
    "timestamptz", "date", "numeric", "int8", "int4", "int2", "float8", "float4", "bool", "text", "uuid", "jsonb",
    "json", "bytea",
]  # fmt: skip

_NAMES: dict[str, KindName] = {
    "timestamptz": "timestamptz",
    "timestamp with time zone": "timestamptz",
    "date": "date",
    "numeric": "numeric",
    "decimal": "numeric",
    "bigint": "int8",
    "int8": "int8",
    "bigserial": "int8",
    "integer": "int4",
    "int": "int4",
    "int4": "int4",
    "serial": "int4",
    "smallint": "int2",
    "int2": "int2",
    "smallserial": "int2",
    "double precision": "float8",
    "float8": "float8",
    "float": "float8",
    "real": "float4",
    "float4": "float4",
    "boolean": "bool",
    "bool": "bool",
    "text": "text",
    "character varying": "text",
    "varchar": "text",
    "character": "text",
    "char": "text",
    "uuid": "uuid",
    "jsonb": "jsonb",
    "json": "json",
    "bytea": "bytea",
}
_TYPE = re.compile(r"\s*([a-z0-9 ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*")

#: Arrow's widest decimal.
MOST_DIGITS = 76


@dataclass(frozen=True, slots=True)
class Kind:
    """A PostgreSQL type as COPY sees it: `precision` and `scale` of a numeric (None where it is unbounded), `length`
    in characters of a bounded text."""

    name: KindName
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    @property
    def arrow(self) -> DataType | None:
        """The Arrow type of a checked column; None for an unbounded numeric, which keeps the decimals it comes with."""
        if self.name == "numeric":
            if self.precision is None or self.scale is None:
                return None
            return decimal_type(self.precision, self.scale)
        return _ARROW[self.name]

    def __str__(self) -> str:
        if self.name == "numeric" and self.precision is not None:
            return f"NUMERIC({self.precision},{self.scale})"
        return f"VARCHAR({self.length})" if self.length is not None else _SHOWN.get(self.name, self.name.upper())


_ARROW: dict[str, DataType] = {
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "int8": pa.int64(),
    "int4": pa.int32(),
    "int2": pa.int16(),
    "float8": pa.float64(),
    "float4": pa.float32(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "uuid": pa.binary(16),
    "jsonb": pa.string(),
    "json": pa.string(),
    "bytea": pa.binary(),
}
_SHOWN = {"int8": "BIGINT", "int4": "INTEGER", "int2": "SMALLINT", "float8": "DOUBLE PRECISION", "float4": "REAL"}


def decimal_type(precision: int, scale: int) -> DataType:
    """Arrow's decimal of that size, 128 bits wide where they suffice."""
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Kind:
    bare = text.lower()
    match = _TYPE.fullmatch(bare)
    name = _NAMES.get(match[1]) if match else None
    if match is None or name is None:
        raise DeclarationError(f"COPY does not carry the type {text}", hint=f"known: {', '.join(sorted(_NAMES))}")
    first, second = (int(part) if part else None for part in (match[2], match[3]))
    if name == "numeric":
        if first is not None and first > MOST_DIGITS:
            raise DeclarationError(f"{text} has more than {MOST_DIGITS} digits", hint="store it as text")
        return Kind(name, precision=first, scale=None if first is None else second or 0)
    if name == "text":
        bounded = first if first is not None else (1 if match[1] in ("char", "character") else None)
        return Kind(name, length=bounded)
    if name == "float8" and match[1] == "float" and first is not None and first <= 24:  # SQL's rule
        return Kind("float4")
    return Kind(name)


def kind_of(type_: sa.types.TypeEngine[Any] | str) -> Kind:
    """The kind of a SQLAlchemy type or of a PostgreSQL type's name. Raises DeclarationError where COPY has none."""
    if isinstance(type_, str):
        return _parsed(type_)
    return _parsed(type_.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
