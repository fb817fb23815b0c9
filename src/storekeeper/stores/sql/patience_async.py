"""Patience with others' locks: the same transaction again, while they hold what it wants."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from storekeeper.errors import ConflictError

T = TypeVar("T")

#: Attempts to get locks that other sessions hold for a moment.
_ATTEMPTS: Final = 5


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Runs `attempt` again, with growing pauses, while others hold the locks that it wants. Raises ConflictError."""
    for pause in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except ConflictError:
            await asyncio.sleep(random.uniform(0.05, 0.2) * 2**pause)
    return await attempt()
