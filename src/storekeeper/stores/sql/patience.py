# Generated from patience_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Patience with others' locks: the same transaction again, while they hold what it wants."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from storekeeper.errors import ConflictError

T = TypeVar("T")

#: Attempts to get locks that other sessions hold for a moment.
_ATTEMPTS: Final = 5


def patiently(attempt: Callable[[], T]) -> T:
    """Runs `attempt` again, with growing pauses, while others hold the locks that it wants. Raises ConflictError."""
    for pause in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except ConflictError:
            time.sleep(random.uniform(0.05, 0.2) * 2**pause)
    return attempt()
