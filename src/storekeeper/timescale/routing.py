"""Which level answers bars, and for which part of the range: one decision, for who reads and who explains. Pure.

The coarsest rollup whose buckets fill the ones asked for is the shortest to read and kept the longest; what it does not
hold yet comes from the rows. What retention has dropped from both may lie in the cold tier.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from storekeeper.catalog import Hypertable, Range
from storekeeper.errors import BelowWatermarkError
from storekeeper.span import Span
from storekeeper.timescale.calendars import Calendar, fills
from storekeeper.timescale.chunks import aligned
from storekeeper.timescale.conditions import check_range
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.shapes import Shape, shape_of


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the range, what answers it, and why. None is an open end."""

    start: datetime | None
    end: datetime | None
    source: str
    reason: str


@dataclass(frozen=True)
class Route:
    """How bars of whole buckets in `window` are made.

    `level` answers but for `stale` (whole buckets of its own that changed since it was made), which rows answer from
    `floor` on, the time below which rows are gone. `cold` is what neither holds any more: rows of these windows may lie
    in the cold tier, and `rest` are the rows of the server that complete the last bucket of them. All are in order and
    apart; `warm` is what is left.
    """

    level: Level
    calendar: Calendar
    shape: Shape
    window: Range
    stale: tuple[Range, ...] = ()
    floor: datetime | None = None
    cold: tuple[Range, ...] = ()
    rest: tuple[Range, ...] = ()

    @property
    def rows(self) -> Level:
        return Level(self.level.hypertable, 0)

    @property
    def behind(self) -> tuple[Range, ...]:
        """Where rows answer in place of the rollup."""
        if not self.level.depth:
            return ()
        pieces = [piece for piece in sorted(self.stale) if piece.overlaps(self.window)]
        if self.floor is None:
            return tuple(pieces)
        return tuple(Range(max(p.lower, self.floor), p.upper) for p in pieces if p.upper > self.floor)

    @property
    def lacking(self) -> bool:
        """Whether the rollup lacks what rows cannot make in its place: it is new, the rows are gone, and it was not
        refreshed yet."""
        if not self.level.depth or self.floor is None:
            return False
        return any(piece.lower < self.floor and piece.overlaps(self.window) for piece in self.stale)

    @property
    def warm(self) -> Range:
        """The whole buckets that the server answers alone; empty (it ends where it begins) where there is none."""
        return Range(
            max((piece.upper for piece in (*self.cold, *self.rest)), default=self.window.lower), self.window.upper
        )

    def parts(self) -> Iterator[Part]:
        """The window, cut where another table answers."""
        for piece in self.cold:
            gone = f"retention dropped it from {self.level.table_name}"
            yield Part(piece.lower, piece.upper, f"the archive of {self.rows.name}", gone)
        for piece in self.rest:
            yield Part(piece.lower, piece.upper, self.rows.name, "the rest of a bucket that begins in the archive")
        at, asked = self.warm.lower, self.calendar.text
        if at == self.window.upper:
            return
        if not self.level.depth:
            rollups = ", ".join(rollup.name for rollup in self.level.hypertable.rollups)
            why = f"no rollup's buckets fill {asked} ({rollups})" if rollups else "it has no rollups"
            yield Part(at, self.window.upper, self.rows.name, why)
            return
        best = f"the coarsest rollup whose buckets of {self.level.buckets.every} fill {asked}"
        changed = f"changed since {self.level.table_name} was refreshed"
        for piece in self.behind:
            if at < piece.lower:
                yield Part(at, piece.lower, self.level.name, best)
            if at < min(piece.upper, self.window.upper):
                yield Part(max(at, piece.lower), min(piece.upper, self.window.upper), self.rows.name, changed)
            at = max(at, piece.upper)
        if at < self.window.upper:
            yield Part(at, self.window.upper, self.level.name, best)


def fitting(hypertable: Hypertable, calendar: Calendar, shape: Shape) -> tuple[Level, ...]:
    """The levels that may answer, the coarsest first and the rows last. Whether a rollup's buckets fill those of a
    local calendar depends on the range: `routed` looks."""
    rollups = [
        level
        for level in levels(hypertable)[1:]
        if level.buckets.by == shape.by
        and set(shape.measures) <= set(level.buckets.measures)
        and (not calendar.plain or fills(level.buckets.every, calendar.every))
    ]
    return (*reversed(rollups), Level(hypertable, 0))


def level_for(hypertable: Hypertable, every: Span) -> Level:
    """The level that answers bars of `every` in UTC: the coarsest rollup whose buckets fill them; else the rows."""
    return fitting(hypertable, Calendar(every), shape_of(hypertable))[0]


@dataclass(frozen=True)
class Standing:
    """What one snapshot of the store says of a series: by level's name, the time below which it was dropped, and what
    its chunks cover. `archived` is where the archive's rows lie, as far as it has all of that time."""

    gone: Mapping[str, datetime | None]
    held: Mapping[str, Sequence[Range]]
    archived: Range | None = None


def routed(
    hypertable: Hypertable,
    calendar: Calendar,
    shape: Shape,
    start: datetime | None,
    end: datetime | None,
    standing: Standing,
    *,
    archived: bool = False,
    without: Collection[str] = (),
) -> Route | None:
    """The route of bars of the whole buckets that [start, end) touches, without what is stale; None where no level
    holds anything and an end is open. An open start is that of the first bucket of which nothing was dropped, or of
    the first that the archive has whole.

    The coarsest level that fits and has not dropped what is asked for, but for those of `without`; with `archived`,
    what all have dropped is cold, else it raises BelowWatermarkError.
    """
    check_range(start, end, operation="read bars", target=hypertable.name)
    found: list[tuple[datetime, Route]] = []
    for level in (level for level in fitting(hypertable, calendar, shape) if level.name not in without):
        window = _window(level, calendar, start, end, standing)
        if window is None:
            continue
        if level.depth and not (calendar.plain or calendar.consists_of(level.buckets.every, window)):
            continue
        route = Route(level, calendar, shape, window, floor=standing.gone.get(hypertable.name))
        gone = standing.gone.get(level.name)
        if gone is None or gone <= window.lower:
            return route
        found.append((gone, route))
    if not found:
        return None
    gone, best = min(found, key=lambda pair: pair[0])
    if not archived:
        raise _too_early(best, gone)
    return _through_the_archive(best, gone)


def _through_the_archive(route: Route, gone: datetime) -> Route:
    """The route whose level has dropped what lies before `gone`: in whole buckets, of rows that the archive has and of
    those that the server still has."""
    assert route.floor is not None, "else the rows would have answered"
    edge = min(route.calendar.ceil(gone), route.window.upper)
    cold = Range(route.window.lower, min(edge, route.floor))
    return replace(route, cold=(cold,), rest=(Range(cold.upper, edge),) if cold.upper < edge else ())


def with_stale(route: Route, pending: Sequence[Range]) -> Route:
    """The route, with what changed in the levels below its own."""
    return replace(route, stale=aligned(pending, route.level.buckets.every)) if route.level.depth else route


def _window(
    level: Level, calendar: Calendar, start: datetime | None, end: datetime | None, standing: Standing
) -> Range | None:
    """The whole buckets that are asked for; an end left open is where the chunks end, or the archive where it has the
    last rows. None: no rows, in none of the buckets that are asked for."""
    if start is None or end is None:
        names = dict.fromkeys((level.hypertable.name, level.name))
        held = [piece for name in names for piece in standing.held.get(name, ())]
        cold = standing.archived
        if not held and cold is None:
            return None
        if start is None:
            starts = [calendar.floor(cold.lower)] if cold is not None else []
            if held:
                gone, first = standing.gone.get(level.name), min(piece.lower for piece in held)
                starts.append(first if gone is None or gone <= calendar.floor(first) else calendar.ceil(gone))
            start = min(starts)
        ends = [piece.upper for piece in held] + ([cold.upper] if cold is not None else [])
        lower, upper = calendar.floor(start), calendar.ceil(end or max(ends))
        return Range(lower, upper) if lower < upper else None
    return calendar.window(start, end)


def _too_early(route: Route, gone: datetime) -> BelowWatermarkError:
    kept = route.level.coarser[-1].buckets.every if route.level.coarser else None
    hint = f"start there, or ask for bars of {kept}" if kept else "start there"
    return BelowWatermarkError(
        f"what {route.calendar.text} are made of was dropped before {gone:%Y-%m-%d %H:%M:%S} UTC",
        operation="read bars",
        target=route.level.hypertable.name,
        hint=hint,
    )
