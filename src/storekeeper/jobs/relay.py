"""Delivers what the outbox holds for other stores."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

from storekeeper.jobs.job import Action, Skipped, Steps
from storekeeper.relay.delivering import attempts, waiting

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: Attempts before what was done is said: a run can be called off then.
_BATCH: Final = 200


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields what was delivered of each effect, and each attempt that failed.

    What was recorded is due at once, whatever the run's `as_of`: it is true in the relational store already.
    """
    left, unknown = waiting(platform)
    if dry_run:
        if left:
            yield Action("deliver", "storekeeper.outbox", rows=left)
        yield from (Skipped("deliver", effect, _UNDECLARED) for effect in unknown)
        return
    counts: Counter[str] = Counter()
    for number, attempt in enumerate(attempts(platform), start=1):
        if attempt.error is None:
            counts[attempt.effect] += 1
        else:
            yield Skipped("deliver", f"{attempt.effect} {attempt.position}", attempt.error)
        if number % _BATCH == 0:
            yield from _told(counts)
    yield from _told(counts)


_UNDECLARED: Final = "no domain of the catalogue declares it"


def _told(counts: Counter[str]) -> Steps:
    told = dict(counts)
    counts.clear()
    yield from (Action("deliver", effect, rows=count) for effect, count in told.items())
