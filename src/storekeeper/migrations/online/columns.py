"""Columns of tables that are in use, and single statements beside them."""

from __future__ import annotations

from storekeeper.migrations.online.names import in_sql
from storekeeper.migrations.online.steps import brief
from storekeeper.timescale.quoting import quoted


def add_column(table: str, column: str, definition: str) -> None:
    """Adds a column, such as ("deals.deals", "slug", "TEXT"), where it is not there yet.

    A constant default takes no time; one that is computed a row would rewrite the table, and is given up as too slow.
    """
    adding = f"ALTER TABLE {in_sql(table)} ADD COLUMN IF NOT EXISTS {quoted(column)} {definition}"
    brief(f"column {table}.{column}", adding)


def drop_column(table: str, column: str) -> None:
    """Drops a column, with its values."""
    brief(f"drop column {table}.{column}", f"ALTER TABLE {in_sql(table)} DROP COLUMN IF EXISTS {quoted(column)}")


def execute_alone(*statements: str) -> None:
    """Runs statements in one short transaction of their own, again until they get their locks.

    Nothing in them is a parameter. They may be run a second time after an interruption: write CREATE OR REPLACE,
    IF NOT EXISTS, DROP … IF EXISTS before CREATE.
    """
    brief(" ".join(statements[0].split())[:60], *statements)
