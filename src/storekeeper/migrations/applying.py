"""Migrating: what is to be done in every store, and doing it step by step, under a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from alembic.script import Script

from storekeeper.errors import ConflictError, DeclarationError, MigrationError, StorekeeperError
from storekeeper.ledger.catalogues import record_catalogue, record_rollback
from storekeeper.migrations.connection import connected, lock
from storekeeper.migrations.documents import Change, carry_out, reconcile
from storekeeper.migrations.engines import engine_of, record_engine
from storekeeper.migrations.environment import downgrade, is_online, recorded_revisions, upgrade
from storekeeper.migrations.history import PLATFORM, History, SqlStore
from storekeeper.migrations.lifecycles import (
    adjust,
    adjustment_step,
    adjustments_on,
    chunk_steps,
    chunks_on,
    drop_policy,
    late_rows_on,
    late_rows_steps,
    policies_on,
    policy_step,
    set_chunk,
    set_late_rows,
)
from storekeeper.migrations.online.retrying import retried
from storekeeper.migrations.partitions import lacking, make_lacking, partitions_on
from storekeeper.migrations.protection import Protecting
from storekeeper.migrations.protection.reconciling import drop_policies
from storekeeper.migrations.recorded import catalogue_on
from storekeeper.migrations.steps import Applied, Plan, Step
from storekeeper.migrations.targets import newest_of
from storekeeper.platform import Platform
from storekeeper.stores.sql.failures import translated

#: In this order, up and back.
SQL_STORES: tuple[SqlStore, ...] = ("postgres", "timescale")

#: Is told of each step before it is done, and of what a revision is at while it runs.
Tell = Callable[[Step], None]


def _nobody(_: Step) -> None: ...


@dataclass(frozen=True)
class _Sql:
    """A SQL store while it is looked at or migrated."""

    store: SqlStore
    connection: sa.Connection
    history: History
    forced: str | None
    tell: Tell

    def recorded(self) -> tuple[str, ...]:
        revisions = recorded_revisions(self.connection, self.store)
        self.connection.rollback()
        return revisions

    def attributes(self, branch: str) -> dict[str, object]:
        """What revisions of this branch are given: of series, the engine; the platform's own make the place for it."""
        attributes: dict[str, object] = {"tell": self.tell}
        if self.store == "timescale" and branch != PLATFORM:
            attributes["engine"] = engine_of(self.connection, self.forced).engine
        return attributes


@dataclass(frozen=True)
class _Todo:
    """A step, and how it is done; None where it is only reported."""

    step: Step
    do: Callable[[], None] | None


def plan(platform: Platform, *, prune: bool = False, to: str | None = None) -> Plan:
    """All that differs between the platform's catalogue and its stores, in the order in which `apply` does it.

    `to`, such as "deals@0003", leaves it at the revisions of one domain up to that one, and those of the platform.
    Raises MigrationError where newer code has migrated a store, DriftError where its engine is not the one on record.
    """
    with ExitStack() as held:
        stores = [_opened(platform, store, held, _nobody) for store in SQL_STORES]
        return Plan(tuple(todo.step for todo in _todo(platform, stores, prune, to)), prune, to)


def apply(platform: Platform, planned: Plan | None = None, *, tell: Tell | None = None) -> Applied:
    """Brings all stores to what the platform's catalogue declares; what is so already is left alone.

    A plan is done as it was shown: what another process has done meanwhile is left out, and MigrationError is raised
    where there is more to do than it says. Interrupted anywhere, the next call goes on.
    """
    done: list[Step] = []
    prune, to = (planned.prune, planned.to) if planned is not None else (False, None)
    with ExitStack() as held:
        stores = [_locked(platform, store, held, tell or _nobody) for store in SQL_STORES]
        todo = _todo(platform, stores, prune, to)
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
        if any(step.store == "timescale" and step.action == "upgrade" for step in done) and to is None:
            # revisions are frozen: what they made may live otherwise by now
            done += list(_settled(platform, stores[1], tell or _nobody))
    return Applied(tuple(done))


def rollback(platform: Platform, domain: str, steps: int | None = 1, *, tell: Tell | None = None) -> tuple[str, ...]:
    """Takes back the newest `steps` revisions of a domain in each SQL store (None: all), and with them their rows.

    Returns them as "timescale: invest_0001". Raises MigrationError for the platform's own while any domain is there.
    """
    if domain != PLATFORM:
        platform.catalog.domain(domain)
    undone: list[str] = []
    with ExitStack() as held:
        stores = [_locked(platform, store, held, tell or _nobody) for store in SQL_STORES]
        with _protected_again(platform, stores, domain):
            # the relational store first: it may refuse, where rows must be kept, and then no series is gone
            for sql in stores:
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
                if domain != PLATFORM and applied:
                    drop_policies(sql.connection, domain)
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


@contextmanager
def _protected_again(platform: Platform, stores: list[_Sql], domain: str) -> Iterator[None]:
    """Protects what is left of a domain after its policies were dropped, whatever came of it meanwhile. Cut off in the
    middle, its tables stay closed until the next migration; so they do to whom a function let in that is gone."""

    def protect() -> None:
        for sql in stores if domain != PLATFORM else ():
            protecting = Protecting(platform, sql.store, sql.connection, prune=False, rolled_back=True)
            for step in protecting.steps():
                if step.action == "protect" and (step.target == domain or step.target.startswith(f"{domain}.")):
                    protecting.carry_out(step.target)

    try:
        yield
    except StorekeeperError as error:
        try:
            protect()
        except StorekeeperError as unprotected:
            error.add_note(f"nor could the tables of {domain} be protected again: {unprotected}")
        raise
    protect()


def _locked(platform: Platform, store: SqlStore, held: ExitStack, tell: Tell) -> _Sql:
    sql = _opened(platform, store, held, tell)
    lock(sql.connection, store)
    return sql


def _opened(platform: Platform, store: SqlStore, held: ExitStack, tell: Tell) -> _Sql:
    connection = held.enter_context(connected(platform, store))
    return _Sql(store, connection, History(store, platform.catalog), platform.settings.engine, tell)


def _todo(platform: Platform, stores: list[_Sql], prune: bool, to: str | None) -> list[_Todo]:
    postgres = stores[0]
    if to is not None:
        wanted = newest_of(to, {sql.store: (sql.history, sql.recorded()) for sql in stores})
        return [item for sql in stores for item in _revisions(sql, {PLATFORM: None, **wanted[sql.store]})]
    todo = [item for sql in stores for item in _revisions(sql)]
    todo += [_Todo(step, None) for sql in stores for step in _without_revisions(platform, sql)]
    todo += list(_partitions(platform, postgres))
    todo += list(_lifecycles(platform, stores[1]))
    todo += list(_policies(platform, stores[1], prune))
    todo += [item for sql in stores for item in _protection(platform, sql, prune)]
    todo += [_of_documents(platform, change) for change in _changes(platform, prune)]
    return todo + list(_record(platform, postgres))


def _revisions(sql: _Sql, only: Mapping[str, str | None] | None = None) -> Iterator[_Todo]:
    """The pending ones; with `only`, of these branches, up to the revision that each names (None: all)."""
    recorded = sql.recorded()
    for stranger in sql.history.admit(recorded):
        detail = "of a domain that is not in this catalogue: left as it is"
        yield _Todo(Step(sql.store, "report", stranger, detail), None)
    for branch in sql.history.branches if only is None else [name for name in sql.history.branches if name in only]:
        last = only[branch] if only is not None else None
        for script in sql.history.pending(branch, recorded):
            if last is not None and script.revision > last:
                break
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
            detail = (
                f"declares {what}, and has no revision for {sql.store}: nothing here makes them; write one by "
                f"`storekeeper migrate new {domain.name} --store {sql.store} -m …`"
            )
            yield Step(sql.store, "report", domain.name, detail)


def _up(sql: _Sql, branch: str, script: Script) -> None:
    attributes = sql.attributes(branch)
    sql.connection.rollback()  # so that Alembic begins and ends transactions itself
    _retried(sql, script, partial(upgrade, sql.connection, sql.history, script, attributes))


def _retried(sql: _Sql, script: Script, run: Callable[[], None]) -> None:
    """Runs a revision until it gets its locks, so that it finds a quiet moment by itself.

    One that is online sees to that step by step.
    """
    what = f"{sql.store} by {script.revision}"

    def attempt() -> None:
        with translated("migrate", what):
            run()

    def told(number: int, error: StorekeeperError) -> None:
        sql.connection.rollback()
        sql.tell(Step(sql.store, "wait", script.revision, f"not yet ({error.cause}), attempt {number}"))

    if is_online(script):
        attempt()
    else:
        retried(attempt, told, again=(ConflictError,))


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
    actual, chunks = late_rows_on(timescale.connection), chunks_on(timescale.connection)
    timescale.connection.rollback()

    def set_late(name: str) -> None:
        timescale.connection.execute(set_late_rows(platform.catalog.hypertable(name)))
        timescale.connection.commit()

    def record_chunk(name: str) -> None:
        timescale.connection.execute(set_chunk(name, platform.catalog.hypertables))
        timescale.connection.commit()

    for step in late_rows_steps(platform.catalog.hypertables, actual):
        yield _Todo(step, partial(set_late, step.target))
    for step in chunk_steps(platform.catalog.hypertables, chunks):
        yield _Todo(step, partial(record_chunk, step.target))
    engine = engine_of(timescale.connection, timescale.forced).engine
    found = adjustments_on(timescale.connection, engine, platform.catalog.hypertables)
    timescale.connection.rollback()
    for level, adjustment in found:
        run = partial(adjust, timescale.connection, engine, level, adjustment)
        yield _Todo(adjustment_step(level, adjustment), run if adjustment.statements else None)


def _settled(platform: Platform, timescale: _Sql, tell: Tell) -> Iterator[Step]:
    """Sets the life of what was just made, and says what it set."""
    for item in _lifecycles(platform, timescale):
        if item.do is not None:
            tell(item.step)
            item.do()
            yield item.step


def _policies(platform: Platform, timescale: _Sql, prune: bool) -> Iterator[_Todo]:
    """One owner for each rule: what the server was told to do by itself goes where it is asked to, else it is said."""
    engine = engine_of(timescale.connection, timescale.forced).engine
    found = policies_on(timescale.connection, engine, platform.catalog.hypertables)
    timescale.connection.rollback()
    for level, policy in found:
        step = policy_step(level, policy, prune=prune)
        yield _Todo(step, partial(drop_policy, timescale.connection, engine, level, policy) if prune else None)


def _protection(platform: Platform, sql: _Sql, prune: bool) -> Iterator[_Todo]:
    """After revisions and partitions, so that what they made is not open for longer than it must be."""
    recorded = sql.recorded()
    coming = [branch for branch in sql.history.branches if sql.history.pending(branch, recorded)]
    protecting = Protecting(platform, sql.store, sql.connection, prune=prune)
    for step in protecting.steps(coming):
        yield _Todo(step, None if step.action == "report" else partial(protecting.carry_out, step.target))


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
