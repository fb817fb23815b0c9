"""Keys in memory, for a short while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: How long a destroyed key may go on to be used in a process that has it.
SECONDS: Final = 60.0
_MOST: Final = 50_000


class Cache(Generic[K, V]):
    """What was read, until it is `SECONDS` old by a clock that only goes forward (seconds, from anywhere)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._entries: dict[K, tuple[float, V]] = {}  # in the order of their ages
        self._lock = threading.Lock()

    def get(self, name: K) -> V | None:
        """What was put under this name, if it is young enough."""
        with self._lock:
            entry = self._entries.get(name)
            return None if entry is None or self._is_old(entry[0]) else entry[1]

    def put(self, name: K, value: V, since: float) -> None:
        """Keeps a value that was asked for at `since`, and lets go of the old ones."""
        with self._lock:
            self._entries.pop(name, None)
            self._entries[name] = (since, value)
            while self._entries:
                oldest = next(iter(self._entries))
                if not self._is_old(self._entries[oldest][0]) and len(self._entries) <= _MOST:
                    break
                del self._entries[oldest]

    def drop(self, unwanted: Callable[[K, V], bool] = lambda _name, _value: True) -> None:
        """Lets go of these; of all by default."""
        with self._lock:
            self._entries = {k: entry for k, entry in self._entries.items() if not unwanted(k, entry[1])}

    def _is_old(self, since: float) -> bool:
        return self._monotonic() - since >= SECONDS
