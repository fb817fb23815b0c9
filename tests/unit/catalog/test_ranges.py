"""Ranges: chunks tile time, merged ranges hold the same instants, names say where a partition begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, strategies as st

from storekeeper.catalog import Monthly, Range, Yearly
from storekeeper.catalog.ranges import chunk_name, merged, partition_name, partition_range, range_of, ranges_between
from storekeeper.span import Span, days, hours, months, years

START = datetime(2014, 1, 1, tzinfo=UTC)
HOURS = st.integers(0, 24 * 60).map(lambda hour: START + timedelta(hours=hour))
RANGES = st.tuples(HOURS, HOURS).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Range(*pair))
WIDTHS = st.sampled_from([hours(6), days(1), days(7), days(30), months(1), years(1)])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(RANGES, WIDTHS)
def test_chunks_cover_a_range_without_a_gap(wanted: Range, width: Span) -> None:
    chunks = list(ranges_between(wanted.lower, wanted.upper, width))
    assert chunks[0].lower <= wanted.lower
    assert wanted.upper <= chunks[-1].upper
    assert all(chunk.overlaps(wanted) for chunk in chunks), "and none that is not needed"
    assert all(one.upper == next_.lower for one, next_ in pairwise(chunks))
    assert all(range_of(chunk.lower, width) == chunk for chunk in chunks)


def test_an_empty_range_needs_no_chunk() -> None:
    assert list(ranges_between(START, START, days(1))) == []


@given(st.lists(RANGES, max_size=8), HOURS)
def test_merging_keeps_every_instant_and_adds_none(ranges: list[Range], moment: datetime) -> None:
    pieces = merged(ranges)
    assert any(moment in piece for piece in pieces) == any(moment in piece for piece in ranges)
    assert all(one.upper < other.lower for one, other in pairwise(pieces)), "apart and in order"


def test_a_range_ends_before_its_upper_bound() -> None:
    day = range_of(at("2014-05-07T13:31"), days(1))
    assert day.lower in day
    assert day.upper not in day
    assert not day.overlaps(Range(day.upper, day.upper + timedelta(days=1)))


def test_chunks_are_named_after_their_first_instant() -> None:
    assert chunk_name("intraday_prices", range_of(at("2014-05-07T13:31"), days(1))) == "intraday_prices_p20140507"
    assert chunk_name("ticks", range_of(at("2014-05-07T07:00"), hours(6))) == "ticks_p20140507t0600"


@given(st.text("abc", min_size=1, max_size=63), HOURS, st.sampled_from([hours(1), days(1)]))
def test_chunk_names_fit_and_stay_apart(table: str, moment: datetime, width: Span) -> None:
    chunk = range_of(moment, width)
    following = range_of(chunk.upper, width)
    assert len(chunk_name(table, chunk)) <= 63
    assert chunk_name(table, chunk) != chunk_name(table, following)


def test_partitions_of_relational_tables_are_named_as_agreed() -> None:
    moment = at("2025-10-31T23:59:59")
    yearly, monthly, verbose = Yearly("at"), Monthly("at"), Monthly("at", verbose=True)
    assert partition_name("transactions", yearly, partition_range(yearly, moment)) == "transactions_2025"
    assert partition_name("user_activity_log", monthly, partition_range(monthly, moment)) == "user_activity_log_202510"
    first = at("2023-01-01")
    assert partition_name("token_transactions", verbose, partition_range(verbose, first)) == (
        "token_transactions_y2023m01"
    )
    assert partition_range(monthly, moment) == Range(at("2025-10-01"), at("2025-11-01"))
    assert partition_range(yearly, moment) == Range(at("2025-01-01"), at("2026-01-01"))
