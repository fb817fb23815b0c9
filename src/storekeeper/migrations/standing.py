"""Where each store stands: what is applied, pending, unknown or not as declared, and what is under way."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.errors import MigrationError
from storekeeper.ledger.backfills import Backfill, decode, under_way
from storekeeper.ledger.tables import backfills
from storekeeper.migrations.applying import SQL_STORES
from storekeeper.migrations.comparing import drift
from storekeeper.migrations.connection import connected
from storekeeper.migrations.environment import recorded_revisions
from storekeeper.migrations.history import PLATFORM, History, SqlStore
from storekeeper.platform import Platform


@dataclass(frozen=True, slots=True)
class Branch:
    """A domain's line of revisions in a store: the newest that is applied (None: none), and those that are not."""

    store: SqlStore
    domain: str
    current: str | None
    pending: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it. `drift` is empty where anything is pending, for then nothing can be as declared."""

    branches: tuple[Branch, ...]
    strangers: tuple[str, ...]
    backfills: tuple[Backfill, ...]
    drift: tuple[str, ...]


def standing(platform: Platform) -> Standing:
    """Where each SQL store stands. Raises MigrationError where newer code has migrated one."""
    branches: list[Branch] = []
    strangers: list[str] = []
    running: list[Backfill] = []
    with ExitStack() as held:
        for store in SQL_STORES:
            connection = held.enter_context(connected(platform, store))
            history = History(store, platform.catalog)
            recorded = recorded_revisions(connection, store)
            strangers += [f"{store}: {revision}" for revision in history.admit(recorded)]
            branches += [_branch(store, history, name, recorded) for name in history.branches]
            if store == "postgres":
                running += _under_way(connection)
    found = () if any(branch.pending for branch in branches) else drift(platform)
    return Standing(tuple(branches), tuple(strangers), tuple(running), found)


def require_migrated(platform: Platform, domain: str) -> None:
    """Raises MigrationError where revisions of the domain, or of the platform, are pending in either SQL store."""
    for store in SQL_STORES:
        with connected(platform, store) as connection:
            recorded = recorded_revisions(connection, store)
            history = History(store, platform.catalog)
            pending = [s.revision for name in (PLATFORM, domain) for s in history.pending(name, recorded)]
        if pending:
            raise MigrationError(
                f"{store} is not migrated: {', '.join(pending)} pending",
                operation="seed",
                target=domain,
                hint="run `storekeeper migrate` first",
            )


def _branch(store: SqlStore, history: History, name: str, recorded: tuple[str, ...]) -> Branch:
    applied = history.applied(name, recorded)
    pending = tuple(script.revision for script in history.pending(name, recorded))
    return Branch(store, name, applied[-1].revision if applied else None, pending)


def _under_way(connection: sa.Connection) -> list[Backfill]:
    if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": backfills.fullname}) is None:
        return []
    return [decode(row) for row in connection.execute(under_way())]
