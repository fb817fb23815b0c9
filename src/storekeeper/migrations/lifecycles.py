"""What a series declares of its life, and what its store has on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.ledger.tables import watermarks
from storekeeper.migrations.steps import Step
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.patience import patiently
from storekeeper.stores.sql.running import executed, inspected
from storekeeper.timescale.adjusting import Adjustment, Policy
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.statement import Statement


def late_rows_on(connection: sa.Connection) -> dict[str, str]:
    """What becomes of late rows, by dataset; empty before the first migration."""
    if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": watermarks.fullname}) is None:
        return {}
    rows = connection.execute(sa.select(watermarks.c.dataset, watermarks.c.late_rows))
    return {row.dataset: row.late_rows for row in rows}


def late_rows_steps(wanted: Iterable[Hypertable], actual: Mapping[str, str]) -> tuple[Step, ...]:
    """One step a series that the store has and whose late rows it treats otherwise than declared."""
    return tuple(
        Step("timescale", "set late rows", hypertable.name, f"{actual[hypertable.name]} → {hypertable.late_rows}")
        for hypertable in wanted
        if actual.get(hypertable.name, hypertable.late_rows) != hypertable.late_rows
    )


def set_late_rows(hypertable: Hypertable) -> sa.Update:
    """Has a series treat late rows as declared."""
    return sa.update(watermarks).where(watermarks.c.dataset == hypertable.name).values(late_rows=hypertable.late_rows)


def chunks_on(connection: sa.Connection) -> dict[str, str | None]:
    """How long a chunk is, by dataset, as far as it is on record; empty before the first migration."""
    column = sa.text(
        "SELECT true FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(:table) AND attname = 'chunk'"
    )
    if not connection.scalar(column, {"table": watermarks.fullname}):
        # a store of before: all that it has is to be put on record
        return dict.fromkeys(late_rows_on(connection))
    rows = connection.execute(sa.select(watermarks.c.dataset, watermarks.c.chunk))
    return {row.dataset: row.chunk for row in rows}


def chunk_steps(wanted: Iterable[Hypertable], actual: Mapping[str, str | None]) -> tuple[Step, ...]:
    """One step a series or rollup that the store has, and of whose chunks it has not the declared length on record."""
    return tuple(
        Step("timescale", "set chunk", level.name, str(level.chunk))
        for hypertable in wanted
        for level in levels(hypertable)
        if level.name in actual and actual[level.name] != level.chunk.sql
    )


def set_chunk(dataset: str, hypertables: Iterable[Hypertable]) -> sa.Update:
    """Puts on record how long a chunk of a series or rollup is."""
    length = next(level.chunk.sql for one in hypertables for level in levels(one) if level.name == dataset)
    return sa.update(watermarks).where(watermarks.c.dataset == dataset).values(chunk=length)


def adjustments_on(
    connection: sa.Connection, engine: Engine, hypertables: Iterable[Hypertable]
) -> list[tuple[Level, Adjustment]]:
    """What the server has set otherwise than declared, of the series and rollups that it has."""
    return [
        (level, adjustment)
        for hypertable in hypertables
        for level in levels(hypertable)
        for adjustment in inspected(connection, engine.adjustments(level))
    ]


def policies_on(
    connection: sa.Connection, engine: Engine, hypertables: Iterable[Hypertable]
) -> list[tuple[Level, Policy]]:
    """Jobs of the server's that would do, by themselves, what the platform's own do: of series that it has."""
    return [
        (level, policy)
        for hypertable in hypertables
        for level in levels(hypertable)
        for policy in inspected(connection, engine.policies(level))
    ]


def policy_step(level: Level, policy: Policy, *, prune: bool) -> Step:
    """What takes it away, with `prune`; else what is said of it."""
    if prune:
        return Step("timescale", "drop policy", level.name, f"{policy.name} (job {policy.job})")
    return Step("timescale", "report", level.name, policy.told)


def adjust(connection: sa.Connection, engine: Engine, level: Level, adjustment: Adjustment) -> None:
    """Sets it, in one transaction, again where its locks were not to be had. A revision may have set it meanwhile."""

    def attempt() -> None:
        connection.rollback()
        with translated(adjustment.action, level.name), connection.begin():
            for current in inspected(connection, engine.adjustments(level)):
                if current.action == adjustment.action:
                    executed(connection, current.statements)

    patiently(attempt)


def drop_policy(connection: sa.Connection, engine: Engine, level: Level, policy: Policy) -> None:
    """Removes it, in one transaction, again where its locks were not to be had: the job may be running. What is gone by
    now is gone."""

    def attempt() -> None:
        connection.rollback()
        with translated("drop policy", level.name), connection.begin():
            if policy in inspected(connection, engine.policies(level)):
                executed(connection, (Statement(policy.remove),))

    patiently(attempt)


def adjustment_step(level: Level, adjustment: Adjustment) -> Step:
    """What is set; what cannot be is reported."""
    if not adjustment.statements:
        return Step("timescale", "report", level.name, f"{adjustment.action}: {adjustment.detail}")
    return Step("timescale", adjustment.action, level.name, adjustment.detail)
