"""Quiet hours are those of the user's own day: over midnight, in their zone, through changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from storekeeper import InputError
from storekeeper.domains.deals.quiet_hours import released


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "start", "end", "zone", "until"),
    [
        ("2026-01-02 12:00", time(22), time(7), None, "2026-01-02 12:00"),
        ("2026-01-02 22:00", time(22), time(7), None, "2026-01-03 07:00"),
        ("2026-01-02 06:59", time(22), time(7), None, "2026-01-02 07:00"),
        ("2026-01-02 07:00", time(22), time(7), None, "2026-01-02 07:00"),
        ("2026-01-02 13:00", time(13), time(14), None, "2026-01-02 14:00"),
        # 22:30 in Rome, one hour before UTC's 22:30
        ("2026-01-02 21:30", time(22), time(7), "Europe/Rome", "2026-01-03 06:00"),
        ("2026-01-02 21:30", time(22), time(7), None, "2026-01-02 21:30"),
        # the night in which the clock goes forward, 02:00 to 03:00: seven in the morning comes an hour sooner
        ("2026-03-28 22:30", time(22), time(7), "Europe/Rome", "2026-03-29 05:00"),
        ("2026-01-02 22:30", time(7), time(7), None, "2026-01-02 22:30"),
        ("2026-01-02 22:30", None, time(7), None, "2026-01-02 22:30"),
    ],
)
def test_a_message_waits_for_the_end_of_the_hours(
    moment: str, start: time | None, end: time | None, zone: str | None, until: str
) -> None:
    assert released(at(moment), start, end, zone) == at(until)


@given(
    moment=st.integers(0, 10 * 366 * 86_400).map(lambda seconds: at("2020-01-01 00:00") + timedelta(seconds=seconds)),
    start=st.times().map(lambda value: value.replace(microsecond=0)),
    end=st.times().map(lambda value: value.replace(microsecond=0)),
    zone=st.sampled_from(["UTC", "Europe/Rome", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"]),
)
def test_it_waits_for_a_day_at_most_and_then_no_more(moment: datetime, start: time, end: time, zone: str) -> None:
    until = released(moment, start, end, zone)
    assert moment <= until <= moment + timedelta(hours=25)
    if until > moment:
        local = moment.astimezone(ZoneInfo(zone)).time()
        assert (start <= local < end) if start < end else (local >= start or local < end)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "x" * 300])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(InputError, match="no such time zone"):
        released(at("2026-01-02 22:30"), time(22), time(7), zone)
