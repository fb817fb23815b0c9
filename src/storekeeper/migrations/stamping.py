"""Noting a revision without running it, for tables that were made by other means."""

from __future__ import annotations

from contextlib import ExitStack

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from storekeeper.errors import MigrationError
from storekeeper.ledger.backfills import forget
from storekeeper.ledger.tables import SCHEMA, backfills
from storekeeper.migrations.applying import SQL_STORES
from storekeeper.migrations.connection import connected, lock
from storekeeper.migrations.environment import recorded_revisions, version_table
from storekeeper.migrations.history import PLATFORM, History, SqlStore
from storekeeper.migrations.targets import BASE, known, parsed
from storekeeper.platform import Platform
from storekeeper.timescale.quoting import qualified


def stamp(platform: Platform, target: str, *, store: SqlStore | None = None) -> tuple[str, ...]:
    """Puts a domain at a revision ("deals@0003", or "deals@base") on the record of the stores that have it.

    Returns a line a store that was at another one. Raises MigrationError for what cannot be so: an unknown revision,
    the platform's own, a revision where none of the domain's tables is there, and "base" where they are.
    """
    domain, revision = parsed(target)
    if domain == PLATFORM:
        raise MigrationError(
            "the platform's own revisions are run, not noted",
            operation="stamp",
            target=target,
            hint="run `storekeeper migrate`",
        )
    platform.catalog.domain(domain)
    changes: list[str] = []
    with ExitStack() as held:
        histories = {name: History(name, platform.catalog) for name in SQL_STORES if store in (None, name)}
        lines = known(domain, revision, histories)
        for name, history in histories.items():
            if not lines[name] or (revision != BASE and revision not in lines[name]):
                continue
            connection = held.enter_context(connected(platform, name))
            lock(connection, name)
            recorded = recorded_revisions(connection, name)
            history.admit(recorded)
            if history.pending(PLATFORM, recorded):
                raise MigrationError(
                    "the platform's own tables are not there",
                    operation="stamp",
                    target=f"{target} in {name}",
                    hint=f"run `storekeeper migrate --to {PLATFORM}@{history.branches[PLATFORM][-1].revision}`",
                )
            applied = history.applied(domain, recorded)
            current = applied[-1].revision if applied else BASE
            if current != revision:
                _refuse_nonsense(connection, platform, name, domain, revision)
                _note(connection, history, current, revision)
                changes.append(f"{name}: {domain} from {current} to {revision}")
    return tuple(changes)


def _note(connection: sa.Connection, history: History, current: str, revision: str) -> None:
    connection.rollback()
    table = f"{SCHEMA}.{version_table(history.store)}"
    with connection.begin():
        MigrationContext.configure(
            connection, opts={"version_table": version_table(history.store), "version_table_schema": SCHEMA}
        )._ensure_version_table()
        connection.execute(sa.text(f"DELETE FROM {table} WHERE version_num = :current"), {"current": current})
        if revision != BASE:
            connection.execute(sa.text(f"INSERT INTO {table} VALUES (:revision)"), {"revision": revision})
        if history.store == "postgres" and (current != BASE and (revision == BASE or revision < current)):
            line = [script.revision for script in history.branches[current.rpartition("_")[0]]]
            above = line[0] if revision == BASE else line[line.index(revision) + 1]
            if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": backfills.fullname}):
                connection.execute(forget(above))


def _refuse_nonsense(
    connection: sa.Connection, platform: Platform, store: SqlStore, domain: str, revision: str
) -> None:
    declared = platform.catalog.domain(domain)
    tables = list(declared.tables) if store == "postgres" else [h.table for h in declared.hypertables]
    there = [
        table.fullname
        for table in tables
        if connection.scalar(
            sa.text("SELECT to_regclass(:table) IS NOT NULL"), {"table": qualified(table.schema or "", table.name)}
        )
    ]
    if revision == BASE and there:
        raise MigrationError(
            f"{', '.join(there)} would be there without a revision that made them",
            operation="stamp",
            target=f"{domain}@{BASE} in {store}",
            hint=f"`storekeeper migrate rollback {domain}` drops them",
        )
    if revision != BASE and tables and not there:
        raise MigrationError(
            "none of the domain's tables is there",
            operation="stamp",
            target=f"{domain}@{revision} in {store}",
            hint="run `storekeeper migrate`, which makes them",
        )
