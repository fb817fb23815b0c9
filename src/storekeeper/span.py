"""Calendar lengths: years(7) is seven calendar years, months(1) one calendar month, days(1) 24 hours of UTC."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storekeeper.errors import DeclarationError, InputError

#: Fixed lengths are counted from here: a Monday, as TimescaleDB's default origin is.
ORIGIN = datetime(2000, 1, 3, tzinfo=UTC)

_MONTHS_OF_ORIGIN = 2000 * 12
_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time: either whole calendar months, or a fixed duration; never both, never zero or less."""

    months: int = 0
    duration: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if bool(self.months) == bool(self.duration) or self.months < 0 or self.duration < timedelta(0):
            raise DeclarationError(f"a span is positive and either of months or of a fixed length: {self!r}")

    @property
    def calendar(self) -> bool:
        """True where the length is counted in calendar months."""
        return self.months > 0

    def after(self, moment: datetime) -> datetime:
        """`moment` + this span; the 31st becomes the last day of a shorter month."""
        return self._moved(moment, 1)

    def before(self, moment: datetime) -> datetime:
        """`moment` less this span."""
        return self._moved(moment, -1)

    def before_or_first(self, moment: datetime) -> datetime:
        """`moment` less this span; where there is no such year, the first moment that there is."""
        try:
            return self.before(moment)
        except (OverflowError, ValueError):
            return datetime.min.replace(tzinfo=UTC)

    def _moved(self, moment: datetime, sign: int) -> datetime:
        if not self.months:
            return moment + sign * self.duration
        month = moment.year * 12 + moment.month - 1 + sign * self.months
        year, month0 = divmod(month, 12)
        day = min(moment.day, calendar.monthrange(year, month0 + 1)[1])
        return moment.replace(year=year, month=month0 + 1, day=day)

    def floor(self, moment: datetime) -> datetime:
        """The start of the bucket of this width that holds `moment`, in UTC.

        Months are counted from January 2000, fixed lengths from ORIGIN.
        """
        moment = moment.astimezone(UTC)
        if self.months:
            whole = (moment.year * 12 + moment.month - 1 - _MONTHS_OF_ORIGIN) // self.months * self.months
            year, month0 = divmod(whole + _MONTHS_OF_ORIGIN, 12)
            return datetime(year, month0 + 1, 1, tzinfo=UTC)
        return ORIGIN + (moment - ORIGIN) // self.duration * self.duration

    def ceil(self, moment: datetime) -> datetime:
        """The start of the first bucket that does not begin before `moment`."""
        floored = self.floor(moment)
        return floored if floored == moment else self.after(floored)

    @property
    def sql(self) -> str:
        """The span as the text of a PostgreSQL interval."""
        if self.months:
            return f"{self.months} mons"
        return f"{self.duration // timedelta(microseconds=1)} microseconds"

    def __str__(self) -> str:
        if self.months:
            years_, rest = divmod(self.months, 12)
            return f"{years_}y" if not rest else f"{self.months}mo"
        for unit in ("w", "d", "h", "m", "s", "ms"):
            count, remainder = divmod(self.duration, _UNITS[unit])
            if not remainder:
                return f"{count}{unit}"
        return f"{self.duration // _UNITS['us']}us"


def checked_span(span: Span, what: str, *, operation: str, target: str) -> Span:
    """The span itself. Raises InputError where it is something else: a timedelta, a text."""
    if not isinstance(span, Span):
        raise InputError(
            f"{what}={span!r} is no span",
            operation=operation,
            target=target,
            hint="write minutes(5), hours(1) or days(1)",
        )
    return span


def years(count: int) -> Span:
    return Span(months=12 * count)


def months(count: int) -> Span:
    return Span(months=count)


def weeks(count: float) -> Span:
    return Span(duration=timedelta(weeks=count))


def days(count: float) -> Span:
    return Span(duration=timedelta(days=count))


def hours(count: float) -> Span:
    return Span(duration=timedelta(hours=count))


def minutes(count: float) -> Span:
    return Span(duration=timedelta(minutes=count))


def seconds(count: float) -> Span:
    return Span(duration=timedelta(seconds=count))


def microseconds(count: int) -> Span:
    return Span(duration=timedelta(microseconds=count))


def parse_span(text: str) -> Span:
    """Reads '5m', '1h', '7d', '2w', '3mo', '1y', as `str(span)` writes them. Raises InputError."""
    match = re.fullmatch(r"(\d+)(us|ms|mo|s|m|h|d|w|y)", text.strip())
    if match is None or int(match[1]) == 0:
        raise InputError(f"{text!r} is no length of time", hint="write it like 5m, 1h, 7d, 2w, 3mo or 1y")
    count, unit = int(match[1]), match[2]
    try:
        if unit in ("mo", "y"):
            return Span(months=count * (12 if unit == "y" else 1))
        return Span(duration=count * _UNITS[unit])
    except OverflowError as error:
        raise InputError(f"{text!r} is too long", hint="write it like 5m, 1h, 7d, 2w, 3mo or 1y") from error
