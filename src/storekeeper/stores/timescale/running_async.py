"""Runs statements and inspections of the time-series engine on a connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from storekeeper.errors import CheckError, ConflictError
from storekeeper.timescale.statement import Inspection, Statement

T = TypeVar("T")

#: Attempts to get locks that other sessions hold for a moment.
_ATTEMPTS: Final = 5


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


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Runs `attempt` again, with growing pauses, while others hold the locks that it wants. Raises ConflictError."""
    for pause in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except ConflictError:
            await asyncio.sleep(random.uniform(0.05, 0.2) * 2**pause)
    return await attempt()


def lacks_chunk(error: CheckError) -> bool:
    """Whether a row had no chunk to go to: the server calls it a check that has no name."""
    return not error.constraint
