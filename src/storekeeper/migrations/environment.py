"""What both Alembic environments do: run revisions on a connection that the caller has opened and locked.

A revision and its record are one transaction. One that says `online = True` runs outside of it, step by step, and is
recorded when all of them are done: interrupted anywhere, it is run again, and finds what it has done already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import Script

from storekeeper.ledger.backfills import forget
from storekeeper.ledger.tables import SCHEMA, backfills
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
    """Runs a revision, the oldest pending one of its branch, and records it."""
    step = MigrationStep.upgrade_from_script(history.scripts.revision_map, script)
    _run(connection, history, script, step, attributes)


def downgrade(connection: sa.Connection, history: History, script: Script, attributes: Mapping[str, Any]) -> None:
    """Takes back a revision, the newest one that the store has of its branch, and its record."""
    step = MigrationStep.downgrade_from_script(history.scripts.revision_map, script)
    _run(connection, history, script, step, attributes)


def is_online(script: Script) -> bool:
    """Whether a revision runs outside of one transaction: it says so by `online = True`."""
    return getattr(script.module, "online", False) is True


def run_revisions(store: SqlStore) -> None:
    """The body of env.py: a revision and its record are one transaction, so that a kill leaves neither alone."""
    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(
        connection,
        version_table=version_table(store),
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
        on_version_apply=_forget_backfills,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run(
    connection: sa.Connection, history: History, script: Script, step: RevisionStep, attributes: Mapping[str, Any]
) -> None:
    # the version table's schema must be there before Alembic looks for the table
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()
    of_steps = {"store": history.store, "revision": script.revision, "online": is_online(script)}
    if is_online(script):
        step.migration_fn = _outside_of_the_transaction(step.migration_fn)
    config = Config(attributes={**attributes, **of_steps, "connection": connection})
    with EnvironmentContext(config, history.scripts, fn=lambda heads, running: [step]):
        history.scripts.run_env()


def _outside_of_the_transaction(run: Callable[[], None]) -> Callable[[], None]:
    @wraps(run)
    def outside() -> None:
        with op.get_context().autocommit_block():
            run()

    return outside


def _forget_backfills(ctx: Any, step: Any, heads: object, run_args: object) -> None:
    """In the transaction that takes a revision off the record."""
    there = sa.text("SELECT to_regclass(:table) IS NOT NULL")
    if step.is_upgrade or not ctx.connection.scalar(there, {"table": backfills.fullname}):
        return
    ctx.connection.execute(forget(step.up_revision_id))
