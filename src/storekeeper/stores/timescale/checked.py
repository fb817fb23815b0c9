"""Rows that were handed in for a hypertable, checked as columns and counted by its quality rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storekeeper.catalog import Hypertable
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.intake import Rows, to_batches
from storekeeper.stores.timescale.flagging import flag_counts


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that fit their columns. `flagged` counts them by flag."""

    table: Table
    rounded: Mapping[str, int]
    flagged: Mapping[str, int]


def checked(
    rows: Rows, hypertable: Hypertable, round_to: Mapping[str, int] | None = None, *, first_row: int = 0
) -> Checked:
    """Checks rows. Raises ColumnError, ValueFitError, NaiveTimeError, InputError; their rows count from `first_row`."""
    intake = to_batches(
        rows,
        hypertable.table,
        operation="append",
        target=hypertable.name,
        round_to=round_to,
        first_row=first_row,
    )
    return Checked(intake.table, intake.rounded, flag_counts(intake.table, hypertable))
