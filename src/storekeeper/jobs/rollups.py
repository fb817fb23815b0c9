"""Refreshes every rollup where what it is made of has changed, from the finest to the coarsest."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.catalog import Hypertable
from storekeeper.jobs.each import each
from storekeeper.jobs.foreseen import LevelState, foresee, period
from storekeeper.jobs.job import Action, Steps
from storekeeper.timescale.levels import levels

if TYPE_CHECKING:
    from storekeeper.platform import Platform


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a rollup that has to be made anew somewhere; buckets that had not ended by `as_of` wait."""
    rolled_up = [hypertable for hypertable in platform.catalog.hypertables if hypertable.rollups]
    return each(rolled_up, lambda hypertable: refreshed(platform, hypertable, as_of=as_of, dry_run=dry_run))


def refreshed(platform: Platform, hypertable: Hypertable, *, as_of: datetime, dry_run: bool) -> Steps:
    """Refreshes the rollups of one hypertable; rows that come meanwhile are taken along."""
    rows: dict[str, int] = {}
    planned = foresee(states_of(platform, hypertable), as_of)
    if not dry_run:
        for window in platform.timescale.refresh(hypertable, as_of=as_of):
            rows[window.dataset] = rows.get(window.dataset, 0) + window.rows
    for refresh in planned:
        yield Action("refresh", refresh.level.name, period(refresh.windows), rows=rows.pop(refresh.level.name, None))
    for name, count in rows.items():
        yield Action("refresh", name, "what changed meanwhile", rows=count)


def states_of(platform: Platform, hypertable: Hypertable) -> list[LevelState]:
    """What the store says of all levels of a hypertable, the rows first."""
    store = platform.timescale
    return [
        LevelState(
            level,
            tuple(chunk.range for chunk in store.chunks(level.name)),
            tuple(store.pending(level.name)),
            store.watermark(level.name),
        )
        for level in levels(hypertable)
    ]
