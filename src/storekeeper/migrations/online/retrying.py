"""Again, while others hold the locks that are wanted: pauses that grow, and that no two migrations have in common."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from storekeeper.errors import ConflictError, StatementTimeoutError, StorekeeperError

T = TypeVar("T")

#: About two minutes in all: whoever waits for a lock holds up all who come after, so many short waits, and not one.
ATTEMPTS = 40
PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 4.0

#: Is told which attempt failed, and why.
Told = Callable[[int, StorekeeperError], None]


def pauses() -> Iterator[float]:
    """Seconds to wait after each failed attempt but the last: growing, and up to half as much more or less."""
    for attempt in range(ATTEMPTS - 1):
        yield min(PAUSE_SECONDS * 2 ** min(attempt, 16), LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.5)


def retried(
    attempt: Callable[[], T],
    told: Told,
    *,
    again: tuple[type[StorekeeperError], ...] = (ConflictError, StatementTimeoutError),
) -> T:
    """What `attempt()` returns, once it comes through.

    Raises its last error: that of a lock that was not to be had, or of what was cut off because it took too long.
    """
    for number, pause in enumerate(pauses(), start=1):
        try:
            return attempt()
        except again as error:
            told(number, error)
            time.sleep(pause)
    return attempt()
