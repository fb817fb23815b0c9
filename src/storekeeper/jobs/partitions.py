"""Makes chunks of series and partitions of tables ahead of time, so that rows written by anybody find theirs."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from storekeeper.catalog import Hypertable, Range, TableLifecycle
from storekeeper.catalog.partitions import missing as missing_partitions, since_newest
from storekeeper.catalog.ranges import chunk_name, partition_name
from storekeeper.jobs.each import each
from storekeeper.jobs.foreseen import period
from storekeeper.jobs.job import Action, Steps
from storekeeper.stores.postgres.partitions import make_partitions, partitions_of
from storekeeper.timescale.chunks import missing
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.lifecycle import ahead

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: Chunks beyond the one that holds `as_of`: of a day each, enough for a long weekend without a scheduler.
AHEAD = 3


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a partition that a table lacks, and a chunk that a hypertable or one of its rollups lacks."""
    work = [
        partial(_partitions, platform, lifecycle) for lifecycle in platform.catalog.lifecycles if lifecycle.partition
    ]
    work += [partial(_chunks, platform, hypertable) for hypertable in platform.catalog.hypertables]
    return each(work, lambda make: make(as_of=as_of, dry_run=dry_run))


def _partitions(platform: Platform, lifecycle: TableLifecycle, *, as_of: datetime, dry_run: bool) -> Steps:
    partition, table = lifecycle.partition, lifecycle.table
    assert partition is not None, "only partitioned tables are asked for"
    with platform.postgres.begin(timeout=None, operation="inspect", target=lifecycle.name) as connection:
        there = [one.range for one in partitions_of(connection, lifecycle) if one.state == "attached"]
    lacking = missing_partitions(partition, [since_newest(partition, there, as_of)], there)
    if lacking and not dry_run:
        make_partitions(platform.postgres, lifecycle, lacking)
    for piece in lacking:
        yield Action(
            "make partition", f"{table.schema}.{partition_name(table.name, partition, piece)}", period([piece])
        )


def _chunks(platform: Platform, hypertable: Hypertable, *, as_of: datetime, dry_run: bool) -> Steps:
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
