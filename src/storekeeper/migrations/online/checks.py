"""Checks, foreign keys and NOT NULL on tables that are written to: in force for new rows first, then for all."""

from __future__ import annotations

from collections.abc import Sequence

from storekeeper.migrations.online.hypertables import is_hypertable
from storekeeper.migrations.online.names import in_sql, joined, parted
from storekeeper.migrations.online.steps import asked, brief, lasting, tried
from storekeeper.timescale.quoting import listed, quoted

_VALIDATED = """
SELECT convalidated FROM pg_catalog.pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name
"""
_LEAVES = """
SELECT c.relnamespace::regnamespace::text || '.' || c.relname
FROM pg_catalog.pg_partition_tree(to_regclass(:table)) tree JOIN pg_catalog.pg_class c ON c.oid = tree.relid
WHERE tree.isleaf AND tree.relid <> to_regclass(:table) ORDER BY 1
"""
_IS_NOT_NULL = """
SELECT true FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass(:table) AND attname = :column AND attnotnull
"""


def add_check(table: str, name: str, sql: str, *, validate: bool = True) -> None:
    """Adds CHECK (sql): new rows have to pass it at once, those that are there when it is validated.

    With `validate=False` that is left to `validate_constraint`, after a back-fill. Raises CheckError where a row does
    not pass; the check stays in force for new ones. A hypertable's rows are looked at at once, in one step: its server
    knows no check for new rows alone.
    """
    if is_hypertable(table):
        adding = f"ALTER TABLE {in_sql(table)} ADD CONSTRAINT {quoted(name)} CHECK ({sql})"
        if _validated(table, name) is None:
            tried(f"{name} of {table}", lambda: lasting(f"{name} of {table}", adding))
        return
    _not_valid(table, name, f"CHECK ({sql})")
    if validate:
        validate_constraint(table, name)


def add_foreign_key(
    table: str,
    name: str,
    columns: Sequence[str],
    refers_to: str,
    referred: Sequence[str],
    *,
    on_delete: str | None = None,
    validate: bool = True,
) -> None:
    """Adds FOREIGN KEY (columns) REFERENCES refers_to (referred): for new rows at once, then for all.

    Partitions get theirs one by one, and the table takes those over; `validate=False` is of no use there.
    """
    rule = f"FOREIGN KEY ({listed(columns)}) REFERENCES {in_sql(refers_to)} ({listed(referred)})"
    rule += f" ON DELETE {on_delete}" if on_delete else ""
    leaves = [row[0] for row in asked(_LEAVES, table=in_sql(table))]
    if not leaves:
        _not_valid(table, name, rule)
        if validate:
            validate_constraint(table, name)
        return
    if _validated(table, name):
        return
    # before 18 the server refuses NOT VALID on a partitioned table; what partitions have already, it does not scan
    for leaf in leaves:
        _not_valid(leaf, name, rule)
        validate_constraint(leaf, name)
    brief(f"foreign key {name} of {table}", f"ALTER TABLE {in_sql(table)} ADD CONSTRAINT {quoted(name)} {rule}")


def validate_constraint(table: str, name: str) -> None:
    """Has a check or foreign key hold for the rows that are there too. Others go on writing meanwhile."""
    statement = f"ALTER TABLE {in_sql(table)} VALIDATE CONSTRAINT {quoted(name)}"

    def attempt() -> None:
        if not _validated(table, name):
            lasting(f"validate {name}", statement)

    tried(f"validate {name} of {table}", attempt)


def drop_constraint(table: str, name: str) -> None:
    """Drops a check or foreign key; one that is gone already is no failure."""
    brief(f"drop {name} of {table}", f"ALTER TABLE {in_sql(table)} DROP CONSTRAINT IF EXISTS {quoted(name)}")


def set_not_null(table: str, column: str) -> None:
    """Has a column hold a value in every row: by a check that is validated first, so that nobody waits for a scan.

    From its first moment on, rows without a value are refused: give the column a default, or a trigger, before. Raises
    CheckError where a row has none; `drop_not_null` takes back what was done by then.
    """
    if asked(_IS_NOT_NULL, table=in_sql(table), column=column):
        _drop_check_of(table, column)
        return
    add_check(table, _check_of(table, column), f"{quoted(column)} IS NOT NULL")
    brief(f"{table}.{column} not null", f"ALTER TABLE {in_sql(table)} ALTER COLUMN {quoted(column)} SET NOT NULL")
    _drop_check_of(table, column)


def drop_not_null(table: str, column: str) -> None:
    """Allows rows without a value again."""
    brief(
        f"{table}.{column} null",
        f"ALTER TABLE {in_sql(table)} DROP CONSTRAINT IF EXISTS {quoted(_check_of(table, column))}",
        f"ALTER TABLE {in_sql(table)} ALTER COLUMN {quoted(column)} DROP NOT NULL",
    )


def _not_valid(table: str, name: str, rule: str) -> None:
    if _validated(table, name) is None:
        adding = f"ALTER TABLE {in_sql(table)} ADD CONSTRAINT {quoted(name)} {rule} NOT VALID"
        brief(f"{name} of {table}, for new rows", adding)


def _validated(table: str, name: str) -> bool | None:
    """Whether the constraint holds for all rows; None where there is none."""
    rows = asked(_VALIDATED, table=in_sql(table), name=name)
    return bool(rows[0][0]) if rows else None


def _check_of(table: str, column: str) -> str:
    return joined(parted(table)[1], column, "is_not_null")


def _drop_check_of(table: str, column: str) -> None:
    drop_constraint(table, _check_of(table, column))
