"""Makes chunks ahead of time, so that rows written by anybody find theirs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.catalog import Hypertable, Range
from storekeeper.catalog.ranges import chunk_name
from storekeeper.jobs.each import each
from storekeeper.jobs.foreseen import period
from storekeeper.jobs.job import Action, Steps
from storekeeper.timescale.chunks import missing
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.lifecycle import ahead

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: Chunks beyond the one that holds `as_of`: of a day each, enough for a long weekend without a scheduler.
AHEAD = 3


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a chunk that is missing, of every hypertable and its rollups."""

    def make(hypertable: Hypertable) -> Steps:
        store = platform.timescale
        lacking: list[tuple[Level, Range]] = []
        for level in levels(hypertable):
            there = [chunk.range for chunk in store.chunks(level.name)]
            lacking += [(level, piece) for piece in missing(ahead(level, as_of, AHEAD), level.chunk, there)]
        if lacking and not dry_run:
            store.make_chunks_ahead(hypertable, as_of=as_of, count=AHEAD)
        for level, piece in lacking:
            name = chunk_name(level.table_name, piece)
            yield Action("make chunk", f"{level.schema}.{name}", period([piece]))

    return each(platform.catalog.hypertables, make)
