"""What a refresh of a series will do, foreseen from what the store says of its levels. Pure.

Both a dry run and a real one say what was foreseen; the real one adds how many rows it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from storekeeper.catalog import Range
from storekeeper.catalog.ranges import merged
from storekeeper.timescale.chunks import missing, pieces
from storekeeper.timescale.levels import Level
from storekeeper.timescale.lifecycle import due_for_refresh


@dataclass(frozen=True, slots=True)
class LevelState:
    """A level as it is: the ranges of its chunks, what changed in it, and the time below which its rows are gone."""

    level: Level
    chunks: tuple[Range, ...]
    pending: tuple[Range, ...] = ()
    watermark: datetime | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A refresh of one rollup: the times that will be made anew, and the chunks that have to be made for them."""

    level: Level
    windows: tuple[Range, ...]
    new_chunks: tuple[Range, ...]


def foresee(states: Sequence[LevelState], before: datetime) -> tuple[Foreseen, ...]:
    """The refreshes of a series whose levels are given from the rows upward: buckets that ended by `before`.

    A rollup changes when it is refreshed, and so the next one will be too.
    """
    found = []
    changed: Iterable[Range] = states[0].pending
    below: tuple[Range, ...] = states[0].chunks
    for state in states[1:]:
        refresh = _one(state, changed, below, before)
        if refresh.windows:
            found.append(refresh)
        changed = merged((*state.pending, *refresh.windows))
        below = (*state.chunks, *refresh.new_chunks)
    return tuple(found)


def _one(state: LevelState, changed: Iterable[Range], below: tuple[Range, ...], before: datetime) -> Foreseen:
    """Times without a chunk, neither in the rollup nor in what it is made of, hold nothing to be made anew."""
    level, filled = state.level, (*below, *state.chunks)
    touched = [
        piece
        for window in due_for_refresh(level, changed, before)
        for piece, may_hold_rows in pieces(window, filled, level.source.chunk, level.buckets.every)
        if may_hold_rows
    ]
    mark = state.watermark
    wanted = [piece for piece in touched if mark is None or piece.upper > mark]
    return Foreseen(level, merged(touched), missing(wanted, level.chunk, state.chunks))


def period(ranges: Sequence[Range]) -> str:
    """From the first to the last instant of ranges in order: "2014-05-07 00:00 to 2014-05-09 00:00"."""
    return f"{_moment(ranges[0].lower)} to {_moment(ranges[-1].upper)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"
