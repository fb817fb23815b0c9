"""Buckets by the clock on a wall: local days, weeks, months and years, and parts of a day from an origin. Pure.

Their first instants are found here, with the time zone's own rules, and handed to the server as a sorted array: the
server needs no time zones, and gives the same answer whatever rules it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from types import NoneType
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from storekeeper.catalog import Range
from storekeeper.clock import as_utc
from storekeeper.errors import InputError, NaiveTimeError
from storekeeper.span import ORIGIN, Span, checked_span, days
from storekeeper.timescale.rollups import bucket_of

#: Local days, weeks, months or years that one question may span: 270 years of days.
MOST_STARTS: Final = 100_000
_T = TypeVar("_T")
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
#: As the server's parameter is called.
_STARTS: Final = "bucket_starts"


@dataclass(frozen=True)
class Calendar:
    """What buckets of `every` begin with, in `zone`, counted from `origin`; made by `calendar_of`, which checks it.

    | zone, origin | buckets |
    | --- | --- |
    | UTC, none | as rollups have them: months from January 2000, fixed lengths from Monday 2000-01-03, on and on |
    | else, months and years | from the origin's day of the month and time of day, counted from its month |
    | else, whole days | from the origin's time of day, counted in days of the calendar from its date (a Monday) |
    | else, parts of a day | anew each day from the origin's time of day (midnight); the last of a day may be shorter |

    A local day is as long as it is: 23 or 25 hours where the clocks change. A time of day that a day has twice is its
    first; one that it has not is as far behind the change as it would have been without it, as in PostgreSQL. Parts of
    a day are measured in time that passes, so none is longer than `every`.
    """

    every: Span
    zone: str = "UTC"
    origin: datetime | time | None = None

    @property
    def plain(self) -> bool:
        """Whether rollups have such buckets: UTC, without an origin."""
        return self.zone == "UTC" and self.origin is None

    @property
    def within_days(self) -> bool:
        """Whether buckets are parts of a local day."""
        return not self.plain and not self.every.calendar and self.every.duration < _DAY

    def floor(self, moment: datetime) -> datetime:
        """The first instant of the bucket that holds `moment`, in UTC. Raises InputError before the year 1."""
        if self.plain:
            return _reached(lambda: self.every.floor(moment))
        moment = moment.astimezone(UTC)
        began = self._start(self._place(moment))
        return began + (moment - began) // self.every.duration * self.every.duration if self.within_days else began

    def after(self, start: datetime) -> datetime:
        """The first instant of the bucket that follows the one that begins at `start`."""
        if self.plain:
            return _reached(lambda: self.every.after(start))
        place = self._place(start)
        following = self._following(place, start)
        return min(following, start + self.every.duration) if self.within_days else following

    def ceil(self, moment: datetime) -> datetime:
        """The first instant of the first bucket that does not begin before `moment`."""
        floored = self.floor(moment)
        return floored if floored == moment else self.after(floored)

    def before(self, start: datetime) -> datetime:
        """The first instant of the bucket that ends where the one that begins at `start` begins."""
        return self.floor(start - _MICROSECOND)

    def window(self, start: datetime, end: datetime) -> Range:
        """The whole buckets that [start, end) touches."""
        return Range(self.floor(start), self.ceil(end))

    def starts(self, window: Range) -> list[datetime]:
        """Where counting begins anew within a window of whole buckets, in order, and the window's end: each bucket, or
        for parts of a day the days' beginnings that are not where a bucket begins anyway. Raises InputError where these
        are more than MOST_STARTS."""
        if self.plain:
            return [window.lower, window.upper]
        place = self._place(window.lower)
        found = [self._start(place)]
        while found[-1] < window.upper:
            place += 1
            start = self._start(place)
            if start > found[-1]:
                found.append(start)
            if len(found) > MOST_STARTS:
                raise InputError(
                    f"{self.text} are too many from {window.lower:%Y-%m-%d} to {window.upper:%Y-%m-%d}",
                    operation="read bars",
                    hint="ask for a shorter range, or for longer bars",
                )
        if not self.within_days:
            return found
        width, kept = self.every.duration, found[:1]
        kept += [start for before, start in pairwise(found[:-1]) if (start - before) % width]
        return [*kept, window.upper]

    def instants(self, window: Range) -> Any:
        """The first instants of all buckets in a window of whole ones: numpy, microseconds since 1970. Where counted
        first by `count`, they are as many as that says."""
        import numpy as np

        if self.every.calendar and self.plain:
            found, at = [], window.lower
            while at < window.upper:
                found.append(_microseconds(at))
                at = self.every.after(at)
            return np.array(found, dtype=np.int64)
        starts = np.array([_microseconds(start) for start in self.starts(window)], dtype=np.int64)
        if not (self.plain or self.within_days):
            return starts[:-1]
        width = self.every.duration // _MICROSECOND
        parts = [np.arange(a, b, width, dtype=np.int64) for a, b in pairwise(starts)]
        found_all = np.concatenate(parts)
        return found_all[(found_all >= _microseconds(window.lower))]

    def count(self, window: Range) -> int:
        """How many buckets a window of whole ones has, or a few more."""
        if self.every.calendar and self.plain:
            return int((window.upper - window.lower) / timedelta(days=28) / self.every.months) + 1
        starts = self.starts(window)
        if not (self.plain or self.within_days):
            return len(starts) - 1
        return sum(-((a - b) // self.every.duration) for a, b in pairwise(starts))

    def expression(self, time: str, window: Range) -> tuple[str, dict[str, object]]:
        """SQL for the first instant of the bucket that holds the expression `time`, which lies in `window`, a window of
        whole buckets; and its parameters."""
        if self.plain:
            return bucket_of(self.every, time), {}
        starts = self.starts(window)[:-1]
        if self.within_days and len(starts) == 1:
            began, parameters = "CAST(:bucket_origin AS timestamptz)", {"bucket_origin": starts[0]}
            return f"date_bin(INTERVAL '{self.every.sql}', {time}, {began})", dict(parameters)
        array = f"CAST(:{_STARTS} AS timestamptz[])"
        found = f"({array})[width_bucket({time}, {array})]"
        if self.within_days:
            found = f"date_bin(INTERVAL '{self.every.sql}', {time}, {found})"
        return found, {_STARTS: starts}

    def consists_of(self, finer: Span, window: Range) -> bool:
        """Whether every bucket in a window of whole ones consists of whole buckets of a rollup."""
        if self.plain:
            return fills(finer, self.every)
        if self.within_days and (finer.calendar or self.every.duration % finer.duration):
            return False
        return all(finer.floor(start) == start for start in self.starts(window))

    @property
    def text(self) -> str:
        """ "bars of 1d in Europe/London from 09:30"."""
        where = "" if self.zone == "UTC" else f" in {self.zone}"
        if self.origin is None:
            return f"bars of {self.every}{where}"
        origin = self.origin if isinstance(self.origin, time) else self.origin.astimezone(_zone(self.zone))
        return f"bars of {self.every}{where} from {origin:{'%H:%M' if isinstance(origin, time) else '%Y-%m-%d %H:%M'}}"

    @property
    def _local(self) -> tuple[date, time]:
        """The origin on the zone's calendar and clock; where that shows its time twice, it stands for the first."""
        if isinstance(self.origin, datetime):
            local = self.origin.astimezone(_zone(self.zone))
            return local.date(), local.time().replace(fold=0)
        first = date(2000, 1, 1) if self.every.calendar else ORIGIN.date()
        return first, (self.origin or time()).replace(fold=0)

    def _place(self, moment: datetime) -> int:
        """Which of the starts is the last that is not after `moment`."""
        origin, _ = self._local
        local = _reached(lambda: moment.astimezone(_zone(self.zone)).date())
        if self.every.calendar:
            place = ((local.year - origin.year) * 12 + local.month - origin.month) // self.every.months
        else:
            place = (local - origin) // (_DAY if self.within_days else self.every.duration)
        while self._start(place) > moment:
            place -= 1
        while self._following(place, moment) <= moment:
            place += 1
        return place

    def _following(self, place: int, moment: datetime) -> datetime:
        """The start after this one; past the last year there is none, but a time after `moment`."""
        try:
            return self._start(place + 1)
        except InputError:
            if moment.year < _LAST.year:
                raise
            return _LAST

    def _start(self, place: int) -> datetime:
        """The start that is `place` starts after the origin's."""
        origin, clock = self._local

        def found() -> datetime:
            if self.every.calendar:
                year, month0 = divmod(origin.year * 12 + origin.month - 1 + place * self.every.months, 12)
                day = date(year, month0 + 1, origin.day)
            else:
                day = origin + place * (_DAY if self.within_days else self.every.duration)
            # fold 0: the first of two, and in a gap the offset before the change
            return datetime.combine(day, clock, _zone(self.zone)).astimezone(UTC)

        return _reached(found)


def calendar_of(
    every: Span, zone: str | None = None, origin: datetime | time | None = None, *, target: str = ""
) -> Calendar:
    """Buckets of `every` in a zone (by its IANA name; None is UTC), from an origin: a moment, or a time of day there.

    Raises InputError for what is no span or no origin, an unknown zone, a width that a calendar cannot count, an origin
    on a day that not every month has; NaiveTimeError for a moment without a zone.
    """
    known = zone_of(zone, target=target)
    checked_span(every, "every", operation="read bars", target=target)
    if not isinstance(origin, (datetime, time, NoneType)):
        raise InputError(
            f"origin={origin!r} is neither a moment nor a time of day",
            operation="read bars",
            target=target,
            hint="write time(9, 30), or a datetime with a zone",
        )
    if isinstance(origin, datetime):
        try:
            origin = as_utc(origin)
        except NaiveTimeError as error:
            raise NaiveTimeError(
                f"the origin {error.cause}",
                operation="read bars",
                target=target,
                hint="give it an offset or a zone; or a time of day, which is one of the zone's",
            ) from error
    elif isinstance(origin, time) and origin.tzinfo is not None:
        raise InputError(
            "a time of day as an origin carries no zone: it is one of the bars' zone",
            operation="read bars",
            target=target,
            hint="leave its tzinfo out, and name the zone",
        )
    calendar = Calendar(every, known, origin)
    if not calendar.plain and not every.calendar and every.duration > _DAY and every.duration % _DAY:
        raise InputError(
            f"bars of {every} in a zone, or from an origin, are neither parts of a day nor whole days",
            operation="read bars",
            target=target,
            hint="ask for whole days, or for less than one",
        )
    if every.calendar and isinstance(origin, datetime) and origin.astimezone(_zone(known)).day > 28:
        raise InputError(
            f"not every month has a day {origin.astimezone(_zone(known)).day} to begin with",
            operation="read bars",
            target=target,
            hint="let months begin on one of the days 1 to 28",
        )
    return calendar


def zone_of(zone: str | None, *, target: str = "") -> str:
    """The name of a time zone, "UTC" for None. Raises InputError where there is none of that name."""
    if zone is None:
        return "UTC"
    try:
        _zone(zone)
    except (KeyError, ValueError, OSError, TypeError) as error:  # ZoneInfo's, of a name that is none or is a path
        raise InputError(
            f"there is no time zone {zone!r}",
            operation="read",
            target=target,
            hint="use a name of the IANA database, as America/New_York",
        ) from error
    return zone


def fills(finer: Span, every: Span) -> bool:
    """Whether buckets of `every` consist of whole buckets of `finer`: both are counted from the same origin."""
    if every.calendar:
        # a month begins at midnight, of whatever weekday
        return every.months % finer.months == 0 if finer.calendar else not days(1).duration % finer.duration
    return not finer.calendar and not every.duration % finer.duration


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _reached(find: Callable[[], _T]) -> _T:
    """What is found; Python's time begins in year 1 and ends with 9999."""
    try:
        return find()
    except (OverflowError, ValueError) as error:
        raise InputError(
            "a bucket would begin before the year 1 or after 9999",
            operation="read bars",
            hint="ask for a range within them",
        ) from error
