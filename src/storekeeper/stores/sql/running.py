# Generated from running_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Runs what the pure SQL modules make, statements and inspections, on a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import Connection

from storekeeper.timescale.statement import Inspection, Statement

T = TypeVar("T")


def inspected(connection: Connection, inspection: Inspection[T]) -> T:
    """The answer to a question."""
    result = connection.execute(inspection.statement.clause())
    return inspection.decode(result.all())


def executed(connection: Connection, statements: Iterable[Statement]) -> int:
    """Runs statements in order; returns how many rows the last one touched."""
    rows = 0
    for statement in statements:
        rows = (connection.execute(statement.clause())).rowcount
    return rows
