"""What a series declares of its life, and what its store has on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.ledger.tables import watermarks
from storekeeper.migrations.steps import Step


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
