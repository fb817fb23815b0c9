"""Decisions about the partitions of relational tables, pure: which are needed, which are missing, which may go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from storekeeper.catalog.ranges import Range, merged, partition_range, ranges_between
from storekeeper.catalog.tables import Monthly, TableLifecycle, Yearly


def ahead(partition: Yearly | Monthly, as_of: datetime) -> Range:
    """From the partition that holds `as_of` to the end of the last one that is made ahead."""
    current = partition_range(partition, as_of)
    end = current.upper
    for _ in range(partition.ahead):
        end = partition.width.after(end)
    return Range(current.lower, end)


def loadable(lifecycle: TableLifecycle, partition: Yearly | Monthly, as_of: datetime) -> Range:
    """What is made ahead, and back to the oldest rows that the table keeps, so that its history finds a place.

    A table that keeps its rows for no declared time is made no place for history.
    """
    ages = [age for age in (lifecycle.keep_at_least, lifecycle.drop_after) if age is not None]
    oldest = min((age.before(as_of) for age in ages), default=as_of)
    return Range(partition_range(partition, oldest).lower, ahead(partition, as_of).upper)


def since_newest(partition: Yearly | Monthly, existing: Iterable[Range], as_of: datetime) -> Range:
    """What is made ahead, and what lies between it and the newest partition: nothing is missed after a long sleep."""
    wanted = ahead(partition, as_of)
    newest = max((there.upper for there in existing), default=wanted.lower)
    return Range(min(newest, wanted.lower), wanted.upper)


def missing(partition: Yearly | Monthly, wanted: Iterable[Range], existing: Iterable[Range]) -> tuple[Range, ...]:
    """The partitions that the wanted ranges touch and that are not there, in order.

    What a partition of other bounds covers whole is there.
    """
    covered = merged(existing)
    touched = {piece for some in wanted for piece in ranges_between(some.lower, some.upper, partition.width)}
    return tuple(
        piece
        for piece in sorted(touched)
        if not any(there.lower <= piece.lower and piece.upper <= there.upper for there in covered)
    )


def drop_boundary(lifecycle: TableLifecycle, as_of: datetime) -> datetime | None:
    """Partitions that end by it may go: all their rows are old enough, and none must be kept. None: none ever goes."""
    if lifecycle.partition is None or lifecycle.drop_after is None:
        return None
    ages = [age for age in (lifecycle.keep_at_least, lifecycle.drop_after) if age is not None]
    return min(age.before(as_of) for age in ages)
