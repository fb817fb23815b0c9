"""Identifiers and literals in SQL text: the one place that quotes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def quoted(name: str) -> str:
    """An identifier, in quotes where it needs them: symbol, "time"."""
    return str(_DIALECT.identifier_preparer.quote(name))


def qualified(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


def listed(names: Iterable[str], prefix: str = "") -> str:
    """Names as a list of columns: symbol, bucket; with a prefix: r.symbol, r.bucket."""
    return ", ".join(f"{prefix}{quoted(name)}" for name in names)


def verbatim(sql: str) -> str:
    """Text without parameters, as a Statement holds it: what looks like a `:name` in it is escaped."""
    return re.sub(r"(?<![:\w\x5c]):(\w+)(?!:)", r"\:\1", sql)


def literal(text: str) -> str:
    """A text constant."""
    body = text.replace("'", "''")
    return verbatim(f"'{body}'")


def instant(moment: datetime) -> str:
    """A timestamptz constant in UTC, to the microsecond."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")  # %Y pads no year
    return f"'{text}+00'"


def column_type(kind: sa.types.TypeEngine[Any]) -> str:
    """The type as DDL: NUMERIC(18, 6)."""
    return str(kind.compile(dialect=_DIALECT))


def create_table(table: sa.Table) -> str:
    return verbatim(str(CreateTable(table).compile(dialect=_DIALECT)).strip())


def create_index(index: sa.Index) -> str:
    return verbatim(str(CreateIndex(index).compile(dialect=_DIALECT)).strip())
