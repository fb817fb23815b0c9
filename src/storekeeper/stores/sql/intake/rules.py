"""What a table asks of the columns that are handed in, and which of them are missing or unknown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

import sqlalchemy as sa

from storekeeper.errors import ColumnError, DeclarationError
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
    """The table's columns by name, in order. Raises DeclarationError where one is of a type that COPY has none for."""
    return {column.name: _rule(table, column) for column in table.columns}


def _rule(table: sa.Table, column: sa.Column[object]) -> ColumnRule:
    generated = column.computed is not None or (column.identity is not None and bool(column.identity.always))
    filled = (
        column.server_default is not None
        or column.identity is not None
        or generated
        or column is table.autoincrement_column
    )
    try:
        kind = kind_of(column.type)
    except DeclarationError as error:
        raise DeclarationError(f"column {column.name}: {error.cause}", hint=error.hint) from error
    return ColumnRule(
        name=column.name,
        kind=kind,
        nullable=bool(column.nullable),
        required=not column.nullable and not filled,
        generated=generated,
    )


def check_names(
    names: Collection[str],
    rules: dict[str, ColumnRule],
    *,
    operation: str,
    target: str,
    index: Collection[str] = (),
) -> None:
    """Raises ColumnError where a column is unknown, computed by the server, missing, or in a frame's `index`."""
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
    hidden = [name for name in index if name in rules and name not in names]
    if hidden:
        raise ColumnError(
            f"column {', '.join(hidden)} is in the index of the frame, which is not read",
            operation=operation,
            target=target,
            hint="hand in frame.reset_index()",
        )
    absent = [rule.name for rule in rules.values() if rule.required and rule.name not in names]
    if absent:
        raise ColumnError(
            f"column {', '.join(absent)} is missing",
            operation=operation,
            target=target,
            hint=f"there are: {', '.join(map(str, names)) or 'none'}",
        )
