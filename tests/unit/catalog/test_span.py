"""Spans: calendar lengths move by the calendar, fixed ones by the clock, and buckets tile all of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from storekeeper.errors import DeclarationError, InputError
from storekeeper.span import (
    ORIGIN,
    Span,
    days,
    hours,
    microseconds,
    minutes,
    months,
    parse_span,
    seconds,
    weeks,
    years,
)

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds
FIXED = st.builds(microseconds, st.integers(1, 400 * 86_400_000_000))
CALENDAR = st.builds(months, st.integers(1, 240))
SPANS = FIXED | CALENDAR


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_calendar_length_follows_the_calendar() -> None:
    assert months(1).after(at("2024-01-31T12:30")) == at("2024-02-29T12:30")
    assert months(1).before(at("2023-03-31")) == at("2023-02-28")
    assert years(7).before(at("2027-11-21T10:00")) == at("2020-11-21T10:00")
    assert years(1).after(at("2024-02-29")) == at("2025-02-28")


def test_buckets_begin_where_the_calendar_or_the_origin_says() -> None:
    assert years(1).floor(at("2014-05-07T13:31")) == at("2014-01-01")
    assert months(3).floor(at("2014-05-07")) == at("2014-04-01")
    assert days(1).floor(at("2014-05-07T13:31")) == at("2014-05-07")
    assert minutes(5).floor(at("2014-05-07T13:34:59.999999")) == at("2014-05-07T13:30")
    assert weeks(1).floor(at("2014-05-07")) == at("2014-05-05"), "a Monday"
    assert days(30).floor(ORIGIN - timedelta(microseconds=1)) == ORIGIN - timedelta(days=30)


def test_a_bucket_of_another_zone_is_a_bucket_of_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert days(1).floor(datetime(2014, 5, 7, 2, 0, tzinfo=there)) == at("2014-05-06")


@given(SPANS, MOMENTS)
def test_a_bucket_holds_its_moment(span: Span, moment: datetime) -> None:
    lower = span.floor(moment)
    assert lower <= moment < span.after(lower)
    assert lower.tzinfo is UTC


@given(SPANS, MOMENTS)
def test_the_next_bucket_begins_where_one_ends(span: Span, moment: datetime) -> None:
    upper = span.after(span.floor(moment))
    assert span.floor(upper) == upper
    assert span.before(upper) == span.floor(moment)


@given(SPANS, MOMENTS)
def test_ceil_is_the_first_bucket_that_does_not_begin_before(span: Span, moment: datetime) -> None:
    ceiled = span.ceil(moment)
    assert span.before(ceiled) < moment <= ceiled
    assert span.floor(ceiled) == ceiled


@given(st.sampled_from(["us", "ms", "s", "m", "h", "d", "w", "mo", "y"]), st.integers(1, 1000))
def test_what_is_written_is_read(unit: str, count: int) -> None:
    span = parse_span(f"{count}{unit}")
    assert parse_span(str(span)) == span


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-5m", "5 m", "1.5h", "5min", "9999999999999999w"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"length of time|too long"):
        parse_span(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Span(),
        lambda: Span(months=-1),
        lambda: seconds(-1),
        lambda: seconds(0),
        lambda: Span(months=1, duration=timedelta(days=1)),
    ],
)
def test_a_length_is_positive_and_of_one_kind(make: object) -> None:
    assert callable(make)
    with pytest.raises(DeclarationError):
        make()


def test_as_an_interval_of_postgresql() -> None:
    assert years(1).sql == "12 mons"
    assert hours(1).sql == "3600000000 microseconds"
