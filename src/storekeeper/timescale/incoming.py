"""Statements that take rows in: COPY into the table, or through a temporary one where keys may be there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.sql import operators

from storekeeper.catalog import Hypertable
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.statement import Inspection, Statement

_STAGED: Final = "pg_temp.storekeeper_staged"

#: Staged rows are hashed in memory: some hundred thousand of them.
_WORK_MEMORY: Final = "64MB"


@dataclass(frozen=True, slots=True)
class Term:
    """A column to sort by."""

    column: str
    descending: bool = False


def key_order(hypertable: Hypertable) -> tuple[Term, ...]:
    """The order of the unique index on the natural key; without such a key, none."""
    for index in sorted(hypertable.table.indexes, key=lambda index: str(index.name)):
        if index.unique and {column.name for column in index.columns} == set(hypertable.natural_key):
            return tuple(_term(expression) for expression in index.expressions)
    return ()


def segment_order(hypertable: Hypertable) -> tuple[Term, ...]:
    """The order of rows in the columnstore: segments, and what is declared within one (else the newest first)."""
    segments = tuple(Term(name) for name in hypertable.segment_by)
    if not hypertable.order_by:
        return (*segments, Term(hypertable.time, descending=True))
    words = [term.upper().split() for term in hypertable.order_by]
    names = [term.split()[0] for term in hypertable.order_by]
    return (*segments, *(Term(name, "DESC" in rest[1:]) for name, rest in zip(names, words, strict=True)))


def _term(expression: object) -> Term:
    descending = False
    while isinstance(expression, sa.UnaryExpression):
        descending = descending or expression.modifier is operators.desc_op
        expression = expression.element
    assert isinstance(expression, sa.Column), "an index on the columns of a key has no expressions"
    return Term(expression.name, descending)


def copy_into(level: Level, columns: Sequence[str]) -> str:
    """COPY by way of the parent: into the chunks by name it was measured at 1.1 to 1.3 times the speed, which is not
    worth the right to write into them and the loss of routing."""
    return f"COPY {qualified(level.schema, level.table_name)} ({listed(columns)}) FROM STDIN WITH (FORMAT binary)"


def staged(level: Level, columns: Sequence[str]) -> list[Statement]:
    """A temporary table of these columns that goes with the transaction."""
    return [
        Statement(
            f"CREATE TEMPORARY TABLE storekeeper_staged ON COMMIT DROP AS\n"
            f"SELECT {listed(columns)} FROM {qualified(level.schema, level.table_name)} WITH NO DATA"
        ),
        Statement(
            f"SELECT set_config('work_mem', '{_WORK_MEMORY}', true) "
            f"WHERE pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('{_WORK_MEMORY}')"
        ),
    ]


def empty_staged() -> list[Statement]:
    return [Statement(f"TRUNCATE {_STAGED}")]


def copy_staged(columns: Sequence[str]) -> str:
    return f"COPY {_STAGED} ({listed(columns)}) FROM STDIN WITH (FORMAT binary)"


def insert_staged(level: Level, columns: Sequence[str]) -> list[Statement]:
    """All staged rows, in the order in which they were staged."""
    names = listed(columns)
    return [
        Statement(
            f"INSERT INTO {qualified(level.schema, level.table_name)} ({names})\n"
            f"SELECT {names} FROM {_STAGED} ORDER BY ctid"
        )
    ]


def analyze_staged(level: Level) -> list[Statement]:
    """Tells the planner how many rows are staged: a few are looked up, many are joined."""
    return [Statement(f"ANALYZE {_STAGED} ({listed(level.natural_key)})")]


@dataclass(frozen=True, slots=True)
class Merged:
    """How many rows were written, and how many of them had a key that was there before."""

    written: int
    updated: int


def merge_staged(
    level: Level,
    columns: Sequence[str],
    earliest: datetime,
    latest: datetime,
    *,
    update: bool,
    repeated: bool,
) -> Inspection[Merged]:
    """Of staged rows, whose times lie between `earliest` and `latest`, those go in whose key is not there; with
    `update`, those whose key is there take its place. Rows that would change nothing are left alone. `repeated` says
    that a key may be staged more than once: the first row of it counts, or with `update` the last.

    What changes is found by one join, before a row is written: a row that stays as it is costs no lock, no WAL, and in
    the columnstore no batch that is opened. Rows go in in the order in which they were staged, so that two calls meet
    the same keys in the same order.
    """
    parent = qualified(level.schema, level.table_name)
    matches = " AND ".join(f"there.{quoted(name)} = came.{quoted(name)}" for name in level.natural_key)
    time = f"there.{quoted(level.time)}"
    others = [quoted(name) for name in columns if name not in level.natural_key]
    key, names, came = listed(level.natural_key), listed(columns), _STAGED
    changes, action = f"{time} IS NULL", "DO NOTHING"
    if update and others:
        new, old = _row(others, "came"), _row(others, "there")
        changes += f" OR {new} IS DISTINCT FROM {old}"
        action = (
            f"DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in others)} "
            f"WHERE {_row(others, 'kept')} IS DISTINCT FROM {_row(others, 'EXCLUDED')}"
        )
    if repeated:
        order = "DESC" if update else "ASC"
        came = f"(SELECT DISTINCT ON ({key}) *, ctid FROM {_STAGED} ORDER BY {key}, ctid {order})"
    return Inspection(
        Statement(
            "WITH found AS MATERIALIZED (\n"
            f"    SELECT came.ctid AS storekeeper_place, {time} IS NOT NULL AS storekeeper_there, "
            f"{listed(columns, 'came.')}\n"
            f"    FROM {came} AS came LEFT JOIN {parent} AS there ON {matches} "
            f"AND {time} >= :earliest AND {time} <= :latest\n"
            f"    WHERE {changes}\n"
            "), written AS (\n"
            f"    INSERT INTO {parent} AS kept ({names})\n"
            f"    SELECT {names} FROM found ORDER BY storekeeper_place\n"
            f"    ON CONFLICT ({key}) {action} RETURNING 1\n"
            ")\nSELECT (SELECT count(*) FROM written), (SELECT count(*) FROM found WHERE storekeeper_there)",
            {"earliest": earliest, "latest": latest},
        ),
        lambda rows: Merged(rows[0][0], min(rows[0])),
    )


def _row(names: Sequence[str], prefix: str) -> str:
    return f"ROW({', '.join(f'{prefix}.{name}' for name in names)})"


#: What writes straight into the columnstore, where the server has it.
DIRECT: Final = "timescaledb.enable_direct_compress_copy"
_SORTED: Final = "timescaledb.enable_direct_compress_copy_client_sorted"


def has_direct() -> Inspection[bool]:
    """Whether the server can take a COPY straight into the columnstore."""
    return Inspection(Statement(f"SELECT current_setting('{DIRECT}', true) IS NOT NULL"), lambda rows: bool(rows[0][0]))


def direct(*, in_order: bool) -> list[Statement]:
    """The next COPY of this transaction goes straight into the columnstore. `in_order` promises that its rows come in
    the order of the columnstore, and that no other has written there: what breaks that promise reads wrongly."""
    return [
        Statement(f"SET LOCAL {DIRECT} = on"),
        Statement(f"SET LOCAL {_SORTED} = {'on' if in_order else 'off'}"),
    ]
