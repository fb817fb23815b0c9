"""Quality rules as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import assert_never

import sqlalchemy as sa

from storekeeper.catalog import Flag, Hypertable
from storekeeper.catalog.quality import Column, Constant, Operation, Term
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import instant, listed, literal, qualified, quoted
from storekeeper.timescale.statement import Statement

#: The column of `select_flagged` that names the flags of a row.
FLAGS = "flags"


def condition_sql(term: Term, prefix: str = "") -> str:
    """The condition of a flag over columns of this prefix."""
    match term:
        case Column():
            return f"{prefix}{quoted(term.name)}"
        case Constant():
            return _constant(term.value)
        case Operation():
            parts = [condition_sql(part, prefix) for part in term.terms]
        case _:
            assert_never(term)
    match term.operator:
        case "AND" | "OR":
            return f"({f' {term.operator} '.join(parts)})"
        case "NOT":
            return f"(NOT {parts[0]})"
        case "IS NULL" | "IS NOT NULL":
            return f"({parts[0]} {term.operator})"
        case "/":
            return f"(({parts[0]})::double precision / nullif(({parts[1]})::double precision, 0))"
        case _:
            return f"({parts[0]} {term.operator} {parts[1]})"


def select_flagged(
    hypertable: Hypertable,
    columns: Sequence[sa.Column[object]],
    flags: Sequence[Flag],
    *,
    start: datetime | None,
    end: datetime | None,
    exact: bool,
) -> Statement:
    """Rows of [start, end) that one of the flags marks, in order of time and key; `flags` names those that do."""
    level = Level(hypertable, 0)
    condition = since(level.time, start, end, "time")
    marks = [condition_sql(flag.term, "source.") for flag in flags]
    named = ", ".join(
        f"CASE WHEN {mark} THEN {literal(flag.name)} END" for flag, mark in zip(flags, marks, strict=True)
    )
    selected = ", ".join(
        f"{as_read(f'source.{quoted(column.name)}', column.type, exact=exact)} AS {quoted(column.name)}"
        for column in columns
    )
    order = listed((level.time, *(name for name in level.natural_key if name != level.time)), "source.")
    return Statement(
        f"SELECT {selected}, concat_ws(',', {named}) AS {FLAGS}\n"
        f"FROM {qualified(level.schema, level.table_name)} AS source\n"
        f"WHERE {condition.sql} AND ({' OR '.join(marks)})\nORDER BY {order}",
        condition.parameters,
    )


def _constant(value: Decimal | int | str | bool | datetime) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ {instant(value)}"
    if isinstance(value, str):
        return literal(value)
    return f"({value:f})" if isinstance(value, Decimal) else f"({value})"
