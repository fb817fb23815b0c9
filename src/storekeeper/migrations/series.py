"""Where series differ from their declarations although every revision was applied, beyond what Alembic compares.

Rollups that are not there, or made otherwise; jobs of the server's that would refresh, compress or drop what the
platform's own jobs do; and what `migrate` sets right by itself (see lifecycles.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.quoting import column_type, qualified


def series_differences(connection: sa.Connection, engine: Engine, hypertables: Iterable[Hypertable]) -> Iterator[str]:
    """One line each, of hypertables that are there. Nothing is changed; it takes a transaction of its own."""
    connection.rollback()
    for hypertable in hypertables:
        if not _is_there(connection, Level(hypertable, 0)):
            continue  # Alembic says so
        for level in levels(hypertable):
            if level.depth:
                yield from _rollup(connection, engine, level)
            for adjustment in inspected(connection, engine.adjustments(level)):
                yield f"{adjustment.action} {level.name} {adjustment.detail}"
            for policy in inspected(connection, engine.policies(level)):
                yield f"policy {level.name} {policy.told}"
    connection.rollback()


def _rollup(connection: sa.Connection, engine: Engine, level: Level) -> Iterator[str]:
    if not _is_there(connection, level):
        yield f"add_rollup {level.name}"
        return
    # a view of the server's own knows no NOT NULL: names and types, in order
    found = sa.inspect(connection).get_columns(level.table_name, level.schema)
    shape = [(column["name"], column_type(column["type"])) for column in found]
    wanted = [(column.name, column_type(column.type)) for column in level.table.columns]
    if shape != wanted:
        yield f"modify_rollup {level.name} {shape} → {wanted}"
        return
    definition = engine.definition(level)
    executed(connection, definition.before)
    reason = inspected(connection, definition.differs)
    connection.rollback()
    if reason:
        yield f"modify_rollup {level.name} {reason}"


def _is_there(connection: sa.Connection, level: Level) -> bool:
    name = {"name": qualified(level.schema, level.table_name)}
    return connection.scalar(sa.text("SELECT to_regclass(:name)"), name) is not None
