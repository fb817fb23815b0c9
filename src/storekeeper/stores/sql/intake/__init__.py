"""Intake: rows as they are handed in, checked by column and cast exactly, before a byte goes to the server.

    intake = to_batches(frame, table, operation="append", target="invest.intraday_prices")
    intake.table        a pyarrow Table of the table's columns that were given, in the table's order, each in its kind's
                        Arrow type: what copy_binary.encode takes as it is
    intake.rounded      {"adjusted_close": 3}: values changed where `round_to` allowed it

kinds.py says which PostgreSQL types there are and what carries them, rows.py which forms rows may have, rules.py what a
table asks; numerics, times, texts and plain cast one column each. Simple CHECKs are the server's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from storekeeper.errors import DeclarationError, InputError
from storekeeper.stores.sql.arrow import Array, ChunkedArray, Table, pa
from storekeeper.stores.sql.intake.convert import Locate, as_error, convert, fitted
from storekeeper.stores.sql.intake.kinds import Kind, kind_of
from storekeeper.stores.sql.intake.misfit import Misfit, cast_or_misfit, first_true
from storekeeper.stores.sql.intake.numerics import wide_enough
from storekeeper.stores.sql.intake.objects import from_objects
from storekeeper.stores.sql.intake.rows import Columns, Rows, columns_of
from storekeeper.stores.sql.intake.rules import ColumnRule, check_names, rules_of

__all__ = [
    "ColumnRule",
    "Intake",
    "Kind",
    "Locate",
    "Misfit",
    "Rows",
    "as_error",
    "cast_or_misfit",
    "check_names",
    "check_places",
    "conformed",
    "convert",
    "fitted",
    "kind_of",
    "rules_of",
    "to_batches",
]

#: Rows of a column that are cast at once; texts of so many rows stay below the 2 GiB of an Arrow string array.
_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Intake:
    """Checked rows. `rounded` counts, by column, the values that were rounded; columns without any are left out."""

    table: Table
    rounded: Mapping[str, int] = field(default_factory=dict)


def to_batches(
    rows: Rows,
    table: sa.Table,
    *,
    operation: str,
    target: str,
    round_to: Mapping[str, int] | None = None,
    first_row: int = 0,
    locate: Locate = "row {}".format,
) -> Intake:
    """The rows as a pyarrow Table that fits `table` exactly. Nothing is rounded, cut or guessed.

    `rows` is a list of dicts, a pandas DataFrame, a pyarrow Table or RecordBatch, or whatever gives an Arrow stream
    (polars). A float is the decimal of its shortest text. Text is read where the column is none: numbers, ISO 8601
    times with an offset, UUIDs, booleans; for JSON it is JSON text. pandas' NaN, NaT and NA are NULL.
    `round_to` names columns that may be rounded, half to even, and to how many decimals.
    Errors count rows from `first_row`; `locate` words the place of a row ("line 5").

    Raises ColumnError (missing, unknown, computed, named twice), ValueFitError (row, column), NaiveTimeError,
    InputError; DeclarationError for a column of a type that COPY does not carry.
    """
    try:
        rules = rules_of(table)
    except DeclarationError as error:
        raise DeclarationError(error.cause, operation=operation, target=target, hint=error.hint) from error
    columns = columns_of(rows, operation=operation, target=target)
    if not columns.count and not columns.names:  # an empty list of dicts names no columns
        return Intake(
            pa.table({rule.name: pa.array([], rule.kind.arrow) for rule in rules.values() if not rule.generated})
        )
    check_names(columns.names, rules, operation=operation, target=target, index=columns.index)
    places = check_places(round_to or {}, rules, operation=operation, target=target)
    arrays: dict[str, ChunkedArray] = {}
    rounded: dict[str, int] = {}
    for rule in rules.values():
        if rule.name not in columns.names:
            continue
        try:
            arrays[rule.name], changed = _column(columns, rule, places.get(rule.name))
        except Misfit as misfit:
            raise as_error(
                misfit, column=rule.name, operation=operation, target=target, first_row=first_row, locate=locate
            ) from misfit
        if changed:
            rounded[rule.name] = changed
    return Intake(pa.table(arrays), rounded)


def conformed(array: Array, rule: ColumnRule, places: int | None = None) -> tuple[Array, int]:
    """(the array as a column's kind carries it, how many of its values were rounded to `places`). Raises Misfit, also
    where a value is missing that must be there."""
    made, changed = fitted(array, rule.kind, places)
    if not rule.nullable and made.null_count:
        row = first_true(made.is_null().to_numpy(zero_copy_only=False))
        raise Misfit(row, None, "is missing: the column is NOT NULL")
    return made, changed


def _column(columns: Columns, rule: ColumnRule, places: int | None) -> tuple[ChunkedArray, int]:
    """One column, piece by piece. Raises Misfit; its row counts within the column."""
    pieces: list[Array] = []
    rounded = offset = 0
    for piece in _pieces(columns, rule):
        try:
            given = from_objects(piece, rule.kind, missing=columns.missing) if isinstance(piece, list) else piece
            made, changed = conformed(given, rule, places)
        except Misfit as misfit:
            misfit.row += offset
            raise
        pieces.append(made)
        rounded += changed
        offset += len(made)
    type_ = rule.kind.arrow
    if type_ is None:
        type_ = wide_enough(
            [piece.type for piece in pieces if pa.types.is_decimal(piece.type)] or [pa.decimal128(1, 0)]
        )
        pieces = [piece.cast(type_) for piece in pieces]
    return pa.chunked_array(pieces, type_), rounded


def _pieces(columns: Columns, rule: ColumnRule) -> list[Array | list[object]]:
    if rule.name in columns.objects:
        values = columns.objects[rule.name]
        return [list(values[start : start + _ROWS]) for start in range(0, len(values), _ROWS)]
    return [
        chunk.slice(start, _ROWS) for chunk in columns.arrow[rule.name].chunks for start in range(0, len(chunk), _ROWS)
    ]


def check_places(
    round_to: Mapping[str, int], rules: Mapping[str, ColumnRule], *, operation: str, target: str
) -> Mapping[str, int]:
    for name, places in round_to.items():
        kind = rules[name].kind if name in rules else None
        if kind is None or kind.name != "numeric":
            raise InputError(
                f"{name} is no NUMERIC column", operation=operation, target=target, hint="it cannot be rounded"
            )
        if places < 0 or (kind.scale is not None and places > kind.scale):
            raise InputError(
                f"{name} is {kind}: it cannot be rounded to {places} decimals", operation=operation, target=target
            )
    return round_to
