"""Buckets by the clock on a wall, against time zones walked through minute by minute."""

from __future__ import annotations

import os
import zoneinfo
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from storekeeper.catalog import Range
from storekeeper.errors import InputError, NaiveTimeError
from storekeeper.span import Span, days, hours, minutes, months, seconds, weeks, years
from storekeeper.timescale.calendars import Calendar, calendar_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SOAK = os.environ.get("STOREKEEPER_TEST_PROFILE") == "soak"
#: Clocks that change at midnight, at a minute past it, by half an hour, by a day; offsets of quarters of an hour and of
#: half minutes.
ZONES = (
    "UTC",
    "America/New_York",
    "Europe/London",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kwajalein",
)

zones = st.sampled_from(sorted(zoneinfo.available_timezones()) if SOAK else ZONES)
moments = st.integers(8 * 86_400_000_000, 130 * 365 * 86_400_000_000).map(lambda passed: EPOCH + passed * TICK)
clocks = st.sampled_from([time(), time(9, 30), time(17), time(2, 30), time(23, 59, 59)])


@st.composite
def at_changes(draw: st.DrawFn, zone: str) -> datetime:
    """A moment within two days of one at which the zone's clocks change."""
    start = draw(moments)
    known = ZoneInfo(zone)
    at = start
    for _ in range(400):
        following = at + timedelta(days=1)
        if following.astimezone(known).utcoffset() != at.astimezone(known).utcoffset():
            break
        at = following
    else:
        at = start
    return at + timedelta(seconds=draw(st.integers(-172_800, 172_800)), microseconds=draw(st.integers(0, 999_999)))


@st.composite
def places(draw: st.DrawFn) -> tuple[str, datetime]:
    zone = draw(zones)
    return zone, draw(st.one_of(moments, at_changes(zone)))


def day_reached(moment: datetime, zone: str) -> date:
    """The latest day that a calendar on the wall has shown by a moment: it is not turned back when the clock is."""
    known = ZoneInfo(zone)
    grid = EPOCH + (moment - EPOCH) // timedelta(seconds=30) * timedelta(seconds=30)
    shown = [(grid - step * timedelta(seconds=30)).astimezone(known).date() for step in range(25 * 120)]
    return max(shown)


@settings(max_examples=400 if SOAK else 25)
@given(places(), st.sampled_from([days(1), days(2), weeks(1), months(1), months(3), years(1)]))
def test_days_and_months_are_those_of_the_wall(place: tuple[str, datetime], every: Span) -> None:
    zone, moment = place
    calendar = Calendar(every, zone)

    def bucket(at: datetime) -> int:
        day = day_reached(at, zone)
        if every.calendar:
            return (day.year * 12 + day.month - 1 - 24_000) // every.months
        return (day - date(2000, 1, 3)).days // every.duration.days

    start = calendar.floor(moment)
    end = calendar.after(start)
    assert start <= moment < end
    assert bucket(start) == bucket(moment) == bucket(end - TICK)
    assert bucket(start - TICK) < bucket(start)
    assert bucket(end) > bucket(moment)


@given(
    places(), clocks, st.sampled_from([seconds(7), minutes(1), minutes(45), hours(1), hours(4), hours(5), hours(23)])
)
def test_parts_of_a_day_begin_anew_each_day(place: tuple[str, datetime], clock: time, every: Span) -> None:
    zone, moment = place
    calendar, of_days = Calendar(every, zone, clock), Calendar(days(1), zone, clock)
    day = of_days.floor(moment)
    start = calendar.floor(moment)
    assert start == day + (moment - day) // every.duration * every.duration
    assert calendar.after(start) == min(start + every.duration, of_days.after(day))
    assert calendar.ceil(start) == start
    assert calendar.floor(calendar.before(start)) == calendar.before(start) < start
    assert calendar.after(calendar.before(start)) == start


@given(
    places(),
    clocks,
    st.sampled_from([minutes(15), hours(1), hours(5), days(1), days(3), weeks(1), months(1), months(5), years(1)]),
    st.integers(1, 60),
)
def test_all_buckets_of_a_window(place: tuple[str, datetime], clock: time, every: Span, length: int) -> None:
    zone, moment = place
    calendar = Calendar(every, zone, clock)
    window = calendar.window(moment, moment + timedelta(hours=9 * length))
    buckets, at = [], window.lower
    while at < window.upper:
        buckets.append(at)
        at = calendar.after(at)
    assert at == window.upper
    assert [EPOCH + int(start) * TICK for start in calendar.instants(window)] == buckets
    assert len(buckets) <= calendar.count(window) <= len(buckets) + timedelta(days=1) // timedelta(minutes=15) + 1
    starts = calendar.starts(window)
    assert starts[0] <= window.lower
    assert starts[-1] == window.upper
    assert all(before < after for before, after in pairwise(starts))
    assert set(starts[1:-1]) <= set(buckets)
    # as the server finds it: the last start that is not after a moment, and whole widths from there on
    last = max(start for start in starts[:-1] if start <= moment)
    steps = (moment - last) // every.duration * every.duration if calendar.within_days else timedelta()
    assert last + steps == calendar.floor(moment)


@given(moments, st.sampled_from([minutes(7), hours(5), days(1), days(10), weeks(1), months(1), months(7)]))
def test_utc_without_an_origin_is_as_rollups_have_it(moment: datetime, every: Span) -> None:
    calendar = Calendar(every)
    assert calendar.plain
    assert (calendar.floor(moment), calendar.ceil(moment)) == (every.floor(moment), every.ceil(moment))
    window = calendar.window(moment, moment + timedelta(days=20))
    assert EPOCH + int(calendar.instants(window)[0]) * TICK == window.lower
    assert len(calendar.instants(window)) <= calendar.count(window)


@given(moments, st.sampled_from([days(1), days(3), weeks(1), months(1), years(1)]))
def test_utc_as_a_zone_with_its_own_origin_is_the_same(moment: datetime, every: Span) -> None:
    assert Calendar(every, "Etc/UTC").floor(moment) == every.floor(moment)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_days_of_23_and_25_hours() -> None:
    calendar = Calendar(days(1), "America/New_York")
    for day, length in (("2024-03-10", 23), ("2024-11-03", 25), ("2024-06-01", 24)):
        start = local(f"{day}T00:00", "America/New_York")
        assert calendar.floor(start + timedelta(hours=3)) == start
        assert calendar.after(start) - start == timedelta(hours=length)


def test_hours_from_the_opening_of_a_session() -> None:
    calendar = calendar_of(hours(1), "America/New_York", time(9, 30))
    for day in ("2024-03-08", "2024-03-11"):  # before and after the clocks change
        opening = local(f"{day}T09:30", "America/New_York")
        assert calendar.floor(opening + timedelta(minutes=59)) == opening
        assert calendar.floor(opening - TICK) == opening - timedelta(hours=1)
    four = calendar_of(hours(4), "America/New_York", time(9, 30))
    opening = local("2024-11-02T09:30", "America/New_York")
    found = [EPOCH + int(start) * TICK for start in four.instants(four.window(opening, opening + timedelta(hours=30)))]
    assert [(start - opening) / timedelta(hours=1) for start in found] == [0, 4, 8, 12, 16, 20, 24, 25, 29]


def test_a_day_that_is_not_there_and_one_that_begins_twice() -> None:
    apia = Calendar(days(1), "Pacific/Apia")
    thursday = local("2011-12-29T00:00", "Pacific/Apia")
    assert apia.after(thursday) == local("2011-12-31T00:00", "Pacific/Apia")
    havana = Calendar(days(1), "America/Havana")
    sunday = datetime(2023, 11, 5, 4, tzinfo=UTC)  # midnight, an hour before it is midnight again
    assert havana.floor(sunday + timedelta(minutes=90)) == sunday
    assert havana.after(sunday) - sunday == timedelta(hours=25)
    beirut = Calendar(days(1), "Asia/Beirut")
    assert beirut.after(local("2024-03-30T00:00", "Asia/Beirut")) == local("2024-03-31T01:00", "Asia/Beirut")


def test_an_origin_that_is_a_moment() -> None:
    opening = datetime(2024, 1, 5, 18, tzinfo=ZoneInfo("America/New_York"))
    trading = calendar_of(days(1), "America/New_York", opening)
    assert trading.floor(datetime(2024, 7, 9, 12, tzinfo=UTC)) == local("2024-07-08T18:00", "America/New_York")
    every_third = calendar_of(days(3), "America/New_York", opening)
    assert every_third.after(opening.astimezone(UTC)) == local("2024-01-08T18:00", "America/New_York")
    fiscal = calendar_of(years(1), "Europe/London", datetime(2020, 4, 6, tzinfo=ZoneInfo("Europe/London")))
    assert fiscal.floor(datetime(2024, 4, 5, 22, 59, tzinfo=UTC)) == local("2023-04-06T00:00", "Europe/London")
    assert fiscal.floor(datetime(2024, 4, 5, 23, tzinfo=UTC)) == local("2024-04-06T00:00", "Europe/London")
    assert fiscal.text == "bars of 1y in Europe/London from 2020-04-06 00:00"
    assert calendar_of(hours(1), None, time(9, 30)).text == "bars of 1h from 09:30"
    # a time that its own day has twice: the first of two, and on a day without it behind the change
    again = datetime(2022, 10, 30, 1, 30, fold=1, tzinfo=ZoneInfo("Europe/London"))
    for origin in (again, again.time()):
        twice = calendar_of(days(1), "Europe/London", origin)
        assert twice.floor(datetime(2023, 10, 29, 12, tzinfo=UTC)) == datetime(2023, 10, 29, 0, 30, tzinfo=UTC)
        assert twice.floor(datetime(2023, 3, 26, 12, tzinfo=UTC)) == datetime(2023, 3, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("finer", "every", "zone", "origin", "answer"),
    [
        (hours(1), days(1), "America/New_York", None, True),
        (hours(1), days(1), "Asia/Kolkata", None, False),
        (minutes(5), days(1), "Asia/Kolkata", None, True),
        (hours(1), hours(2), "America/New_York", None, True),
        (hours(1), hours(1), "America/New_York", time(9, 30), False),
        (minutes(5), hours(1), "America/New_York", time(9, 30), True),
        (minutes(5), hours(1), "America/New_York", time(9, 31), False),
        (hours(5), hours(5), "Europe/London", None, False),
        (days(1), months(1), "Europe/London", None, False),
        (days(1), days(1), "Atlantic/Reykjavik", None, True),
    ],
)
def test_which_rollups_fill_them(finer: Span, every: Span, zone: str, origin: time | None, answer: bool) -> None:
    calendar = calendar_of(every, zone, origin)
    window = calendar.window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    assert calendar.consists_of(finer, window) is answer


def test_what_is_no_calendar() -> None:
    for zone in ("Mars/Olympus", "", "../etc/passwd", "America", "/etc/localtime", "a\0b"):
        with pytest.raises(InputError, match="no time zone"):
            calendar_of(days(1), zone)
    with pytest.raises(NaiveTimeError, match="origin"):
        calendar_of(days(1), "Europe/London", datetime(2024, 1, 1))  # noqa: DTZ001  # refused
    with pytest.raises(InputError, match="carries no zone"):
        calendar_of(days(1), "Europe/London", time(9, 30, tzinfo=UTC))
    with pytest.raises(InputError, match="neither parts of a day nor whole days"):
        calendar_of(hours(36), "Europe/London")
    with pytest.raises(InputError, match="not every month has a day 31"):
        calendar_of(months(1), None, datetime(2024, 1, 31, tzinfo=UTC))
    assert calendar_of(hours(36)).plain


@pytest.mark.parametrize("every", [hours(1), days(1), months(1), years(1000)])
def test_the_ends_of_time(every: Span) -> None:
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        calendar = Calendar(every, zone, time(9) if zone == "Asia/Tokyo" else None)
        for moment in (datetime(1, 1, 1, tzinfo=UTC), last):
            found: datetime | None = None
            with suppress(InputError):
                found = calendar.floor(moment)
            assert found is None or found <= moment
    with pytest.raises(InputError, match="too many"):
        Calendar(days(1), "Asia/Tokyo").starts(Range(datetime(1, 1, 3, tzinfo=UTC), last))
