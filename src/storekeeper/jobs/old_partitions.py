"""What retention does to relational tables: partitions all of whose rows are old enough are detached and dropped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.catalog import TableLifecycle
from storekeeper.catalog.partitions import drop_boundary
from storekeeper.jobs.foreseen import period
from storekeeper.jobs.job import Action, Steps
from storekeeper.stores.postgres.partition_sql import Partition
from storekeeper.stores.postgres.partitions import drop_partition, partitions_of

if TYPE_CHECKING:
    from storekeeper.platform import Platform


def dropped(platform: Platform, lifecycle: TableLifecycle, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a partition, when it is gone. Rows and bytes are the server's estimate."""
    if drop_boundary(lifecycle, as_of) is None:
        return
    with platform.postgres.begin(timeout=None, operation="inspect", target=lifecycle.name) as connection:
        there = partitions_of(connection, lifecycle)
    for partition in due(lifecycle, there, as_of):
        if not dry_run:
            drop_partition(platform.postgres, lifecycle, partition)
        yield Action(
            "drop partition",
            f"{lifecycle.table.schema}.{partition.name}",
            period([partition.range]),
            rows=partition.rows or None,
            bytes=partition.bytes or None,
        )


def due(lifecycle: TableLifecycle, partitions: Iterable[Partition], as_of: datetime) -> tuple[Partition, ...]:
    """The partitions to drop, in order of time. What somebody else detached, or is detaching, stays theirs."""
    boundary = drop_boundary(lifecycle, as_of)
    if boundary is None:
        return ()
    ours = (one for one in partitions if one.state == "attached" or one.condemned)
    return tuple(sorted((one for one in ours if one.range.upper <= boundary), key=lambda one: one.range))
