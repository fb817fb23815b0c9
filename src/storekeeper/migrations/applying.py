"""Migrating: what is to be done in every store, and doing it step by step, under a lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from alembic.script import Script

from storekeeper.errors import ConflictError, DeclarationError, MigrationError
from storekeeper.ledger.catalogues import record_catalogue, record_rollback
from storekeeper.migrations.connection import connected, lock
from storekeeper.migrations.documents import Change, carry_out, reconcile
from storekeeper.migrations.engines import engine_of, record_engine
from storekeeper.migrations.environment import downgrade, recorded_revisions, upgrade
from storekeeper.migrations.history import PLATFORM, History, SqlStore
from storekeeper.migrations.lifecycles import late_rows_on, late_rows_steps, set_late_rows
from storekeeper.migrations.partitions import lacking, make_lacking, partitions_on
from storekeeper.migrations.recorded import catalogue_on
from storekeeper.migrations.steps import Applied, Plan, Step
from storekeeper.platform import Platform
from storekeeper.stores.sql.failures import translated

#: In this order up, and back in the other one.
SQL_STORES: tuple[SqlStore, ...] = ("postgres", "timescale")

#: A revision that did not get its lock in time is tried again, so that it finds a quiet moment by itself.
ATTEMPTS = 5
PAUSE_SECONDS = 2.0

#: Is told of each step before it is done.
Tell = Callable[[Step], None]


@dataclass(frozen=True)
class _Sql:
    """A SQL store while it is looked at or migrated."""

    store: SqlStore
    connection: sa.Connection
    history: History
    forced: str | None

    def recorded(self) -> tuple[str, ...]:
        revisions = recorded_revisions(self.connection, self.store)
        self.connection.rollback()
        return revisions

    def attributes(self, branch: str) -> dict[str, object]:
        """What revisions of this branch are given: of series, the engine; the platform's own make the place for it."""
        if self.store != "timescale" or branch == PLATFORM:
            return {}
        return {"engine": engine_of(self.connection, self.forced).engine}


@dataclass(frozen=True)
class _Todo:
    """A step, and how it is done; None where it is only reported."""

    step: Step
    do: Callable[[], None] | None


def plan(platform: Platform, *, prune: bool = False) -> Plan:
    """All that differs between the platform's catalogue and its stores, in the order in which `apply` does it.

    Raises MigrationError where newer code has migrated a store, DriftError where its engine is not the one on record.
    """
    with ExitStack() as held:
        stores = [_opened(platform, store, held) for store in SQL_STORES]
        return Plan(tuple(todo.step for todo in _todo(platform, stores, prune)), prune)


def apply(platform: Platform, planned: Plan | None = None, *, tell: Tell | None = None) -> Applied:
    """Brings all stores to what the platform's catalogue declares; what is so already is left alone.

    A plan is done as it was shown: what another process has done meanwhile is left out, and MigrationError is raised
    where there is more to do than it says. Interrupted anywhere, the next call goes on.
    """
    done: list[Step] = []
    with ExitStack() as held:
        stores = [_locked(platform, store, held) for store in SQL_STORES]
        todo = _todo(platform, stores, planned.prune if planned is not None else False)
        if planned is not None and (unseen := {t.step for t in todo if t.do} - set(planned.steps)):
            raise MigrationError(
                f"there is more to do than was planned: {', '.join(sorted(map(str, unseen)))}",
                operation="migrate",
                hint="plan again",
            )
        for item in todo:
            if item.do is not None:
                if tell is not None:
                    tell(item.step)
                item.do()
                done.append(item.step)
    return Applied(tuple(done))


def rollback(platform: Platform, domain: str, steps: int | None = 1, *, tell: Tell | None = None) -> tuple[str, ...]:
    """Takes back the newest `steps` revisions of a domain in each SQL store (None: all), and with them their rows.

    Returns them as "timescale: invest_0001". Raises MigrationError for the platform's own while any domain is there.
    """
    if domain != PLATFORM:
        platform.catalog.domain(domain)
    undone: list[str] = []
    with ExitStack() as held:
        stores = [_locked(platform, store, held) for store in SQL_STORES]
        for sql in reversed(stores):
            recorded = sql.recorded()
            strangers = sql.history.admit(recorded)
            applied = sql.history.applied(domain, recorded)
            others = [r for r in recorded if r in strangers or not r.startswith(f"{PLATFORM}_")]
            if domain == PLATFORM and applied and others:
                raise MigrationError(
                    f"{', '.join(others)} stand on it",
                    operation="roll back",
                    target=PLATFORM,
                    hint="roll them back first",
                )
            for script in applied[::-1][:steps]:
                step = Step(sql.store, "downgrade", script.revision, _summary(script))
                if tell is not None:
                    tell(step)
                attributes = sql.attributes(domain)
                sql.connection.rollback()
                _retried(sql, script, partial(downgrade, sql.connection, sql.history, script, attributes))
                undone.append(f"{sql.store}: {script.revision}")
        postgres = stores[0].connection
        if undone and catalogue_on(postgres) is not None:
            postgres.execute(record_rollback(", ".join(undone)))
        postgres.commit()
    return tuple(undone)


def _locked(platform: Platform, store: SqlStore, held: ExitStack) -> _Sql:
    sql = _opened(platform, store, held)
    lock(sql.connection, store)
    return sql


def _opened(platform: Platform, store: SqlStore, held: ExitStack) -> _Sql:
    connection = held.enter_context(connected(platform, store))
    return _Sql(store, connection, History(store, platform.catalog), platform.settings.engine)


def _todo(platform: Platform, stores: list[_Sql], prune: bool) -> list[_Todo]:
    postgres = stores[0]
    todo = [item for sql in stores for item in _revisions(sql)]
    todo += [_Todo(step, None) for sql in stores for step in _without_revisions(platform, sql)]
    todo += list(_partitions(platform, postgres))
    todo += list(_lifecycles(platform, stores[1]))
    todo += [_of_documents(platform, change) for change in _changes(platform, prune)]
    return todo + list(_record(platform, postgres))


def _revisions(sql: _Sql) -> Iterator[_Todo]:
    recorded = sql.recorded()
    for stranger in sql.history.admit(recorded):
        detail = "of a domain that is not in this catalogue: left as it is"
        yield _Todo(Step(sql.store, "report", stranger, detail), None)
    for branch in sql.history.branches:
        for script in sql.history.pending(branch, recorded):
            step = Step(sql.store, "upgrade", script.revision, _summary(script))
            yield _Todo(step, partial(_up, sql, branch, script))
        if sql.store == "timescale" and branch == PLATFORM:
            choice = engine_of(sql.connection, sql.forced)
            sql.connection.rollback()
            if not choice.recorded:
                detail = "as set" if sql.forced else "by what the server has"
                yield _Todo(
                    Step("timescale", "choose engine", choice.engine.name, detail),
                    lambda: record_engine(sql.connection, engine_of(sql.connection, sql.forced).engine),
                )


def _without_revisions(platform: Platform, sql: _Sql) -> Iterator[Step]:
    """Domains that declare tables of this store, and bring nothing that makes them: somebody else has to."""
    for domain in platform.catalog.domains:
        declared = len(domain.tables) if sql.store == "postgres" else len(domain.hypertables)
        if declared and domain.name not in sql.history.branches:
            what = "tables" if sql.store == "postgres" else "hypertables"
            detail = f"declares {what}, and has no revision for {sql.store}: nothing here makes them"
            yield Step(sql.store, "report", domain.name, detail)


def _up(sql: _Sql, branch: str, script: Script) -> None:
    attributes = sql.attributes(branch)
    sql.connection.rollback()  # so that Alembic begins and ends transactions itself
    _retried(sql, script, partial(upgrade, sql.connection, sql.history, script, attributes))


def _retried(sql: _Sql, script: Script, run: Callable[[], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with translated("migrate", f"{sql.store} by {script.revision}"):
                run()
            return
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
            sql.connection.rollback()
            time.sleep(PAUSE_SECONDS)


def _partitions(platform: Platform, postgres: _Sql) -> Iterator[_Todo]:
    """Of tables that are there, or that pending revisions make."""
    recorded = postgres.recorded()
    lifecycles = platform.catalog.lifecycles
    actual = partitions_on(postgres.connection, lifecycles)
    postgres.connection.rollback()
    coming = {domain.name for domain in platform.catalog.domains if postgres.history.pending(domain.name, recorded)}
    to_be = [life for life in lifecycles if life.name in actual or life.table.schema in coming]
    for table in lacking(to_be, actual, platform.clock.now()):
        yield _Todo(table.step, partial(make_lacking, postgres.connection, table))


def _lifecycles(platform: Platform, timescale: _Sql) -> Iterator[_Todo]:
    actual = late_rows_on(timescale.connection)
    timescale.connection.rollback()

    def set_late(name: str) -> None:
        timescale.connection.execute(set_late_rows(platform.catalog.hypertable(name)))
        timescale.connection.commit()

    for step in late_rows_steps(platform.catalog.hypertables, actual):
        yield _Todo(step, partial(set_late, step.target))


def _changes(platform: Platform, prune: bool) -> tuple[Change, ...]:
    if not any(domain.collections for domain in platform.catalog.domains):
        return ()
    return reconcile(platform.mongo.wanted_collections(), platform.mongo.actual_collections(), prune=prune)


def _of_documents(platform: Platform, change: Change) -> _Todo:
    if change.step.action == "report":
        return _Todo(change.step, None)
    return _Todo(change.step, lambda: carry_out(change, platform.mongo))


def _record(platform: Platform, postgres: _Sql) -> Iterator[_Todo]:
    applied = catalogue_on(postgres.connection)
    postgres.connection.rollback()
    digest = platform.catalog.digest()
    if applied is not None and applied.digest == digest:
        return
    known = f", in place of {applied.version} ({applied.digest[:12]})" if applied is not None else ""
    detail = f"version {platform.catalog.version} ({digest[:12]}){known}"

    def record() -> None:
        postgres.connection.execute(record_catalogue(platform.catalog))
        postgres.connection.commit()

    yield _Todo(Step("postgres", "record", "catalogue", detail), record)


def _summary(script: Script) -> str:
    """The first line of a revision's docstring."""
    text = script.doc.strip() if script.doc else ""
    if not text:
        raise DeclarationError(
            "says nothing", operation="read revision", target=script.path, hint="give it a docstring"
        )
    return text.splitlines()[0].strip()
