"""What a pool counts: connections, waits, and each statement's calls, time and rows."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

MOST_STATEMENTS: Final = 500


@dataclass(frozen=True, slots=True)
class StatementStatistics:
    """One statement text, placeholders unfilled: how often it ran, how long, and the rows it returned or changed."""

    statement: str
    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment, and what it has counted since it was opened.

    `size` and `most` are the connections kept and allowed, `idle` and `checked_out` those open now, `overflow` how many
    of them are above `size`; `waits` are callers that found none free, `wait_seconds` the time that they spent,
    `timeouts` those that gave up; `retries` are transactions run again.
    """

    size: int
    most: int
    idle: int
    checked_out: int
    overflow: int
    opened: int
    borrowed: int
    waits: int
    wait_seconds: float
    timeouts: int
    retries: int
    slow: int
    statements: tuple[StatementStatistics, ...]


class StatementTable:
    """Counts by statement text, of the MOST_STATEMENTS used last; safe to use from several threads."""

    def __init__(self, most: int = MOST_STATEMENTS) -> None:
        self._most = most
        self._lock = Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def add(self, statement: str, seconds: float, rows: int, *, failed: bool = False) -> None:
        """Counts one execution; `rows` below 0 (the driver does not know) count as none."""
        with self._lock:
            entry = self._entries.setdefault(statement, _Entry())
            self._entries.move_to_end(statement)
            entry.calls += 1
            entry.failures += failed
            entry.seconds += seconds
            entry.longest = max(entry.longest, seconds)
            entry.rows += max(rows, 0)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def snapshot(self) -> tuple[StatementStatistics, ...]:
        """The counts so far, those that took most time first."""
        with self._lock:
            counted = [
                StatementStatistics(text, entry.calls, entry.failures, entry.seconds, entry.longest, entry.rows)
                for text, entry in self._entries.items()
            ]
        return tuple(sorted(counted, key=lambda statement: statement.seconds, reverse=True))


@dataclass(slots=True)
class _Entry:
    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    rows: int = 0


@dataclass(slots=True)
class Counters:
    """The running counts of a pool, connections and statements aside."""

    opened: int = 0
    borrowed: int = 0
    waits: int = 0
    wait_seconds: float = 0.0
    timeouts: int = 0
    retries: int = 0
    slow: int = 0
    lock: Lock = field(default_factory=Lock)

    def count_borrowed(self, waited: float | None) -> None:
        """Counts a connection asked for; `waited` seconds where none was free."""
        with self.lock:
            self.borrowed += 1
            if waited is not None:
                self.waits += 1
                self.wait_seconds += waited
