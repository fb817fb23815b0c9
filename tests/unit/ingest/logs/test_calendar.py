"""Instants of times that leave out their year or their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from storekeeper.ingest.logs.calendar import HALF_A_YEAR, Calendar
from storekeeper.ingest.logs.line import LineError, YearlessTime
from storekeeper.ingest.logs.stamps import read_stamp

BERLIN = ZoneInfo("Europe/Berlin")


def yearless(moment: datetime) -> YearlessTime:
    return YearlessTime(moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond)


def years(start: int, *days: tuple[int, int]) -> list[int]:
    calendar = Calendar(UTC, start)
    return [calendar.instant(YearlessTime(month, day, 12, 0, 0)).year for month, day in days]


def test_a_year_begins_where_the_months_begin_anew() -> None:
    assert years(2005, (11, 3), (12, 31), (1, 1), (2, 3)) == [2005, 2005, 2006, 2006]
    assert years(2005, (12, 31), (1, 1), (8, 1), (7, 30), (1, 2), (1, 1)) == [2005, 2006, 2006, 2006, 2007, 2007]
    assert years(2005, (6, 1), (1, 1)) == [2005, 2005], "five months back is a line out of order"


def test_a_line_that_comes_late_is_of_the_old_year() -> None:
    calendar = Calendar(UTC, 2005)
    times = [(12, 31, 23), (1, 1, 0), (12, 31, 23), (1, 1, 1)]
    found = [calendar.instant(YearlessTime(month, day, hour, 0, 0)) for month, day, hour in times]
    assert [moment.year for moment in found] == [2005, 2006, 2005, 2006]


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)),  # noqa: DTZ001  # local
    st.lists(st.timedeltas(timedelta(hours=-12), HALF_A_YEAR - timedelta(days=2)), max_size=40),
)
def test_the_years_of_a_log_come_back(first: datetime, steps: list[timedelta]) -> None:
    moments = [first]
    for step in steps:
        moments.append(moments[-1] + step)
    calendar = Calendar(UTC, first.year)
    for moment in moments:
        assert calendar.instant(yearless(moment)) == moment.replace(tzinfo=UTC)


def test_the_29th_of_february_is_there_in_leap_years_alone() -> None:
    assert Calendar(UTC, 2004).instant(YearlessTime(2, 29, 1, 2, 3)) == datetime(2004, 2, 29, 1, 2, 3, tzinfo=UTC)
    calendar = Calendar(UTC, 2003)
    with pytest.raises(LineError, match="does not exist: 02-29 01:02:03 in 2003"):
        calendar.instant(YearlessTime(2, 29, 1, 2, 3))
    calendar.instant(YearlessTime(12, 31, 1, 2, 3))
    assert calendar.instant(YearlessTime(2, 29, 1, 2, 3)).year == 2004


def test_what_the_caller_has_to_name_is_said() -> None:
    with pytest.raises(LineError, match="without a year") as caught:
        Calendar(UTC, None).instant(YearlessTime(1, 1, 0, 0, 0))
    assert caught.value.missing == "year"
    with pytest.raises(LineError, match="without a zone") as caught:
        Calendar(None, 2005).instant(YearlessTime(1, 1, 0, 0, 0))
    assert caught.value.missing == "zone"


@given(st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1)), st.booleans())  # noqa: DTZ001  # local
def test_local_times_are_what_the_zone_says_or_refused(local: datetime, first_of_two: bool) -> None:
    instants = [
        candidate
        for hours in (1, 2)
        if (candidate := (local - timedelta(hours=hours)).replace(tzinfo=UTC)).astimezone(BERLIN).replace(tzinfo=None)
        == local
    ]
    calendar = Calendar(BERLIN, None, first_of_two=first_of_two)
    if len(instants) == 1 or (instants and first_of_two):
        assert calendar.instant(local) == min(instants)
    else:
        with pytest.raises(LineError, match="leaves out" if not instants else "has twice"):
            calendar.instant(local)


@pytest.mark.parametrize(
    ("local", "says"),
    [
        (datetime(2016, 3, 27, 2, 30), "leaves out, as clocks change: 2016-03-27 02:30:00"),  # noqa: DTZ001  # local
        (datetime(1, 1, 1), "outside of all calendars"),  # noqa: DTZ001  # local
    ],
)
def test_a_local_time_that_is_not_there(local: datetime, says: str) -> None:
    with pytest.raises(LineError, match=says):
        Calendar(BERLIN, None).instant(local)


def test_an_hour_that_is_there_twice_is_the_first_or_neither() -> None:
    twice = datetime(2016, 10, 30, 2, 30)  # noqa: DTZ001  # local
    assert Calendar(BERLIN, None).instant(twice) == datetime(2016, 10, 30, 0, 30, tzinfo=UTC)
    with pytest.raises(LineError, match="has twice"):
        Calendar(BERLIN, None, first_of_two=False).instant(twice)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001  # local
def test_counts_since_1970_are_read_by_their_size(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    micros = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert read_stamp(f"{micros // 1_000_000}.{micros % 1_000_000:06}") == aware
    assert read_stamp(micros // 1_000_000) == aware.replace(microsecond=0)
    if micros >= 10**14:
        assert read_stamp(micros // 1_000) == aware.replace(microsecond=aware.microsecond // 1000 * 1000)
        assert read_stamp(micros) == read_stamp(str(micros)) == aware
        assert read_stamp(micros * 1_000 + 999) == aware


@pytest.mark.parametrize(
    ("text", "time_format", "expected"),
    [
        ("2024-05-17T10:05:03Z", None, datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC)),
        ("2024-05-17 12:05:03,5 +0200", None, datetime(2024, 5, 17, 10, 5, 3, 500_000, tzinfo=UTC)),
        ("2024-05-17 10:05:03 UTC", None, datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC)),
        ("20240517", None, datetime(2024, 5, 17)),  # noqa: DTZ001  # local
        ("17/05/24 10", "%d/%m/%y %H", datetime(2024, 5, 17, 10)),  # noqa: DTZ001  # local
        ("20240517", "%Y%m%d", datetime(2024, 5, 17)),  # noqa: DTZ001  # local
        ("29 Feb", "%d %b", YearlessTime(2, 29, 0, 0, 0)),
    ],
)
def test_texts_of_times(text: str, time_format: str | None, expected: datetime | YearlessTime) -> None:
    assert read_stamp(text, time_format) == expected


@pytest.mark.parametrize("text", ["", "soon", "2024-02-30", "99999999999999999999", "nan", "inf", "24:00"])
def test_texts_that_are_no_times(text: str) -> None:
    with pytest.raises(LineError, match="is no time as ISO 8601 writes it"):
        read_stamp(text)
