"""Texts and numbers as times, one by one: ISO 8601, a format of strptime, or seconds since 1970."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from storekeeper.ingest.logs.line import LineError, Stamp, YearlessTime

MONTHS = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)  # noqa: SIM905  # a row reads better than twelve quoted names
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Eight digits are a date (20240131); more count seconds since 1970, or thousandths and less of one.
_NUMBER = re.compile(r"-?\d{9,19}(?:\.\d+)?|\d{1,7}(?:\.\d+)?|\d{8}\.\d+")
#: Up to which number they count seconds, thousandths, millionths; beyond, billionths.
_COUNTED = ((100_000_000_000, 1_000_000), (100_000_000_000_000, 1_000), (100_000_000_000_000_000, 1))
_SPACED_OFFSET = re.compile(r"(.*\d) (Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)")
_YEAR = re.compile(r"%(?:Y|y|G|c|x|D)")
_OFFSET = re.compile(r"%:?z")


def carries_year(time_format: str) -> bool:
    """Whether a text of this format names its year."""
    return _YEAR.search(time_format) is not None


def carries_offset(time_format: str) -> bool:
    """Whether a text of this format names its offset from UTC."""
    return _OFFSET.search(time_format) is not None


def read_stamp(value: str | int | float | date, time_format: str | None = None) -> Stamp:
    """The time that a value says; texts by `time_format` (strptime's), or by ISO 8601. Raises LineError.

    A day is its first moment. Numbers, and texts of digits alone, count seconds since 1970; from 10^11 on thousandths,
    from 10^14 on millionths, from 10^17 on billionths of one.
    """
    if isinstance(value, date):
        clock = value.timetz() if isinstance(value, datetime) else time()
        # not one of pandas', which is a datetime too
        return datetime.combine(date(value.year, value.month, value.day), clock)
    try:
        if not isinstance(value, str):
            return _since_epoch(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
        if time_format is not None:
            return _by_format(value, time_format)
        if _NUMBER.fullmatch(value):
            return _since_epoch(Decimal(value))
        return _iso(value.strip())
    except (ValueError, OverflowError, InvalidOperation) as error:
        written = "ISO 8601" if time_format is None else time_format
        raise LineError(f"{_short(value)} is no time as {written} writes it") from error


def made(text: str, *parts: int | str, fraction: str | None = None) -> datetime:
    """The local time of these six, from the year to the second; `text` is how it was written. Raises LineError."""
    year, month, day, hour, minute, second = map(int, parts)
    try:
        return datetime(year, month, day, hour, minute, second, microseconds(fraction))  # noqa: DTZ001  # local
    except (ValueError, OverflowError) as error:
        raise LineError(f"has a time that does not exist: {text}") from error


def microseconds(fraction: str | None) -> int:
    """The digits behind the point of a second; what is less than a millionth is cut off."""
    return int(fraction[:6].ljust(6, "0")) if fraction else 0


def _since_epoch(count: Decimal) -> datetime:
    if not count.is_finite():
        raise ValueError(count)
    micros = next((factor for bound, factor in _COUNTED if abs(count) < bound), None)
    exact = count * micros if micros is not None else count / 1_000
    return _EPOCH + timedelta(microseconds=math.floor(exact))


@lru_cache(maxsize=4096)
def _by_format(text: str, time_format: str) -> Stamp:
    # without a year strptime would take 1900, and know no 29 February
    if not carries_year(time_format):
        moment = datetime.strptime(f"2000 {text}", f"%Y {time_format}")  # noqa: DTZ007  # the zone is the calendar's
        return YearlessTime(moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond)
    return datetime.strptime(text, time_format)  # noqa: DTZ007  # the zone is the calendar's


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if (match := _SPACED_OFFSET.fullmatch(text)) is None:
            raise
        offset = "Z" if match[2] in ("UTC", "GMT") else match[2]
        return datetime.fromisoformat(match[1] + offset)


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
