"""Runs what the pure SQL modules make, statements and inspections, on a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.timescale.statement import Inspection, Statement

T = TypeVar("T")


async def inspected(connection: AsyncConnection, inspection: Inspection[T]) -> T:
    """The answer to a question."""
    result = await connection.execute(inspection.statement.clause())
    return inspection.decode(result.all())


async def executed(connection: AsyncConnection, statements: Iterable[Statement]) -> int:
    """Runs statements in order; returns how many rows the last one touched."""
    rows = 0
    for statement in statements:
        rows = (await connection.execute(statement.clause())).rowcount
    return rows
