"""Decisions about the life of chunks, pure: which are due, how far a watermark rises, what is refreshed, what is made.

The order that they serve: refresh every rollup above a level, verify it, raise the watermark, detach, drop. Whatever
lies below a watermark is in the rollups for good; whatever lies above it can be made anew from its source.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from storekeeper.catalog import Hypertable, Range
from storekeeper.catalog.ranges import range_of
from storekeeper.span import Span
from storekeeper.timescale.chunks import Chunk, aligned
from storekeeper.timescale.levels import Level


def drop_boundary(level: Level, as_of: datetime) -> datetime | None:
    """Rows before it are old enough to go: the level's age of retention, in whole buckets of every rollup above it.

    None where its rows are kept for ever, or were older than any time that there is.
    """
    if level.keep is None:
        return None
    try:
        moment = level.keep.before(as_of)
        while (lower := min((every.floor(moment) for every in _buckets_above(level)), default=moment)) != moment:
            moment = lower
    except (OverflowError, ValueError):
        return None
    return moment


def due_for_drop(level: Level, chunks: Iterable[Chunk], as_of: datetime) -> tuple[Chunk, ...]:
    """The chunks all of whose rows are old enough to go, in order of time."""
    boundary = drop_boundary(level, as_of)
    if boundary is None:
        return ()
    return tuple(sorted((chunk for chunk in chunks if chunk.range.upper <= boundary), key=lambda chunk: chunk.range))


def new_watermark(level: Level, due: Iterable[Chunk]) -> datetime:
    """Where the watermark must stand before these chunks go: at the end of the last, in whole buckets of every rollup.

    It never lies beyond `drop_boundary`. A chunk that it cuts is not dropped yet, and its part below it is frozen.
    """
    moment = max(chunk.range.upper for chunk in due)
    while (upper := max((every.ceil(moment) for every in _buckets_above(level)), default=moment)) != moment:
        moment = upper
    return moment


def _buckets_above(level: Level) -> list[Span]:
    return [coarser.buckets.every for coarser in level.coarser]


def due_for_compression(hypertable: Hypertable, chunks: Iterable[Chunk], as_of: datetime) -> tuple[Chunk, ...]:
    """The chunks all of whose rows are old enough to be compressed, and that are not, or not wholly."""
    if hypertable.compress_after is None:
        return ()
    boundary = hypertable.compress_after.before_or_first(as_of)
    return tuple(chunk for chunk in chunks if chunk.range.upper <= boundary and (chunk.partial or not chunk.compressed))


def due_for_refresh(level: Level, pending: Iterable[Range], before: datetime) -> tuple[Range, ...]:
    """The windows of a rollup to be made anew: whole buckets that ended by `before`.

    A bucket that has not ended yet would be made again at the next run: until then, bars read it from the rows.
    """
    every = level.buckets.every
    end = every.floor(before)
    windows = (Range(piece.lower, min(piece.upper, end)) for piece in aligned(pending, every))
    return tuple(window for window in windows if window.lower < window.upper)


def ahead(level: Level, as_of: datetime, count: int) -> tuple[Range, ...]:
    """The range that holds `as_of`, and `count` ranges after it."""
    ranges = [range_of(as_of, level.chunk)]
    for _ in range(count):
        ranges.append(Range(ranges[-1].upper, level.chunk.after(ranges[-1].upper)))
    return tuple(ranges)
