"""Who holds a connection, since when, and where in the caller's code it was taken."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final

_LOGGER: Final = logging.getLogger("storekeeper.pool")
_STORES: Final = str(Path(__file__).parent.parent)
_PASSED_OVER: Final = ("contextlib.py", "/sqlalchemy/", "/asyncio/")


@dataclass(slots=True)
class Holder:
    """One borrowed connection. `since` is on the monotonic clock; `limit` in seconds, None where it may be held on."""

    driver: Any
    since: float
    place: str = "an unknown place"
    limit: float | None = None
    reported: bool = False

    def overdue(self, now: float) -> bool:
        return self.limit is not None and now - self.since > self.limit


class Holders:
    """The connections of a pool that are borrowed now; safe to use from several threads."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._lock = Lock()
        self._held: dict[int, Holder] = {}

    def took(self, driver: Any) -> Holder:
        holder = Holder(driver, monotonic())
        with self._lock:
            self._held[id(driver)] = holder
        return holder

    def gave_back(self, driver: Any) -> None:
        with self._lock:
            holder = self._held.pop(id(driver), None)
        if holder is not None:
            self._report(holder, "was held", monotonic())

    def now(self) -> tuple[Holder, ...]:
        """Those that hold a connection now, the longest first."""
        with self._lock:
            return tuple(sorted(self._held.values(), key=lambda holder: holder.since))

    def report_overdue(self) -> None:
        """Reports, once each, the connections that are held longer than a transaction may last."""
        now = monotonic()
        for holder in self.now():
            self._report(holder, "is held", now)

    def _report(self, holder: Holder, verb: str, now: float) -> None:
        if holder.reported or not holder.overdue(now):
            return
        holder.reported = True
        _LOGGER.warning(
            "%s: a connection %s for %.1f s, longer than a transaction may last (%g s); it was taken at %s",
            self._store,
            verb,
            now - holder.since,
            holder.limit,
            holder.place,
        )


@lru_cache(maxsize=1024)  # the same few files, for every transaction
def _passed_over(name: str) -> bool:
    return name.startswith(_STORES) or any(part in name for part in _PASSED_OVER)


def caller() -> str:
    """file:line of the innermost code that is neither of the stores nor of what carries a context manager."""
    frame = sys._getframe(1)  # inspect.stack() reads source files: too slow for every transaction
    while frame is not None:
        name = frame.f_code.co_filename
        if not _passed_over(name):
            return f"{name}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "an unknown place"
