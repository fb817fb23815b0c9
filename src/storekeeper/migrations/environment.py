"""What both Alembic environments do: run revisions on a connection that the caller has opened and locked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import Script

from storekeeper.ledger.tables import SCHEMA
from storekeeper.migrations.history import History, SqlStore


def version_table(store: SqlStore) -> str:
    """The name of the table, in the schema of the platform, that holds a store's revisions."""
    return f"alembic_{store}"


def recorded_revisions(connection: sa.Connection, store: SqlStore) -> tuple[str, ...]:
    """What the store's version table holds; nothing before the first migration."""
    table = f"{SCHEMA}.{version_table(store)}"
    if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": table}) is None:
        return ()
    return tuple(connection.scalars(sa.text(f"SELECT version_num FROM {table} ORDER BY version_num")))


def upgrade(connection: sa.Connection, history: History, script: Script, attributes: Mapping[str, Any]) -> None:
    """Runs a revision, the oldest pending one of its branch; it and its record are one transaction."""
    step = MigrationStep.upgrade_from_script(history.scripts.revision_map, script)
    _run(connection, history, step, attributes)


def downgrade(connection: sa.Connection, history: History, script: Script, attributes: Mapping[str, Any]) -> None:
    """Takes back a revision, the newest one that the store has of its branch; it and its record are one transaction."""
    step = MigrationStep.downgrade_from_script(history.scripts.revision_map, script)
    _run(connection, history, step, attributes)


def run_revisions(store: SqlStore) -> None:
    """The body of env.py: a revision and its record are one transaction, so that a kill leaves neither alone."""
    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(
        connection,
        version_table=version_table(store),
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run(connection: sa.Connection, history: History, step: RevisionStep, attributes: Mapping[str, Any]) -> None:
    # the version table's schema must be there before Alembic looks for the table
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()
    config = Config(attributes={**attributes, "connection": connection})
    with EnvironmentContext(config, history.scripts, fn=lambda heads, running: [step]):
        history.scripts.run_env()
