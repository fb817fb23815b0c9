"""What a table asks of the columns that are handed in, and which of them are missing or unknown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

import sqlalchemy as sa

from storekeeper.errors import ColumnError
from storekeeper.stores.sql.intake.kinds import Kind, kind_of


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """A column of a table: `required` where a row cannot do without it, `generated` where the server computes it."""

    name: str
    kind: Kind
    nullable: bool
    required: bool
    generated: bool


def rules_of(table: sa.Table) -> dict[str, ColumnRule]:
    """The table's columns by name, in order."""
    return {column.name: _rule(table, column) for column in table.columns}


def _rule(table: sa.Table, column: sa.Column[object]) -> ColumnRule:
    generated = column.computed is not None or (column.identity is not None and bool(column.identity.always))
    filled = (
        column.server_default is not None
        or column.identity is not None
        or generated
        or column is table.autoincrement_column
    )
    return ColumnRule(
        name=column.name,
        kind=kind_of(column.type),
        nullable=bool(column.nullable),
        required=not column.nullable and not filled,
        generated=generated,
    )


def check_names(names: Collection[str], rules: dict[str, ColumnRule], *, operation: str, target: str) -> None:
    """Raises ColumnError where a column is unknown, computed by the server, or missing."""
    unknown = [name for name in names if name not in rules]
    if unknown:
        close = [match for name in unknown for match in get_close_matches(str(name), rules, n=1)]
        raise ColumnError(
            f"no column {', '.join(map(str, unknown))}",
            operation=operation,
            target=target,
            hint=f"close to it: {', '.join(close)}" if close else f"its columns: {', '.join(rules)}",
        )
    generated = [name for name in names if rules[name].generated]
    if generated:
        raise ColumnError(
            f"{', '.join(generated)} is computed by the server", operation=operation, target=target, hint="leave it out"
        )
    absent = [rule.name for rule in rules.values() if rule.required and rule.name not in names]
    if absent:
        raise ColumnError(
            f"column {', '.join(absent)} is missing",
            operation=operation,
            target=target,
            hint=f"there are: {', '.join(map(str, names)) or 'none'}",
        )
