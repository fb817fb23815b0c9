"""Which partitions a table needs, lacks and may lose, as of a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, strategies as st

from storekeeper.catalog import Monthly, Range, TableLifecycle, Yearly
from storekeeper.catalog.partitions import ahead, drop_boundary, loadable, missing, since_newest
from storekeeper.catalog.ranges import partition_range
from storekeeper.errors import DeclarationError
from storekeeper.span import Span, days, months, years

TABLE = sa.Table(
    "log",
    sa.MetaData(schema="lab"),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
)
MONTHLY, YEARLY = Monthly("at"), Yearly("at")
KINDS = st.sampled_from([MONTHLY, YEARLY])
MOMENTS = st.integers(0, 60 * 366 * 24).map(lambda hour: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(hours=hour))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def life(partition: Yearly | Monthly, keep: Span | None = None, drop: Span | None = None) -> TableLifecycle:
    return TableLifecycle(TABLE, partition=partition, keep_at_least=keep, drop_after=drop)


def test_a_year_and_three_months_are_made_ahead() -> None:
    assert ahead(YEARLY, at("2026-11-30")) == Range(at("2026-01-01"), at("2028-01-01"))
    assert ahead(MONTHLY, at("2026-11-30T23:59:59")) == Range(at("2026-11-01"), at("2027-03-01"))
    assert ahead(Monthly("at", ahead=0), at("2026-11-30")) == Range(at("2026-11-01"), at("2026-12-01"))


def test_history_finds_a_place_as_far_back_as_it_is_kept() -> None:
    now = at("2026-11-30")
    assert loadable(life(YEARLY, keep=years(7)), YEARLY, now) == Range(at("2019-01-01"), at("2028-01-01"))
    assert loadable(life(MONTHLY, drop=days(90)), MONTHLY, now) == Range(at("2026-09-01"), at("2027-03-01"))
    assert loadable(life(YEARLY, keep=years(7), drop=years(10)), YEARLY, now).lower == at("2016-01-01")
    assert loadable(life(MONTHLY), MONTHLY, now) == ahead(MONTHLY, now)


def test_nothing_is_missed_after_a_long_sleep() -> None:
    there = [partition_range(MONTHLY, at("2025-02-10")), partition_range(MONTHLY, at("2025-03-10"))]
    assert since_newest(MONTHLY, there, at("2026-01-15")) == Range(at("2025-04-01"), at("2026-05-01"))
    assert since_newest(MONTHLY, there, at("2024-01-15")) == Range(at("2024-01-01"), at("2024-05-01"))
    assert since_newest(MONTHLY, [], at("2026-01-15")) == ahead(MONTHLY, at("2026-01-15"))


@given(KINDS, st.lists(MOMENTS, max_size=5), MOMENTS)
def test_when_what_is_missing_was_made_nothing_is_missing(
    partition: Yearly | Monthly, moments: list[datetime], as_of: datetime
) -> None:
    there = [partition_range(partition, moment) for moment in moments]
    wanted = since_newest(partition, there, as_of)
    made = missing(partition, [wanted], there)
    assert not set(made) & set(there)
    assert missing(partition, [wanted], [*there, *made]) == ()
    assert any(as_of in piece for piece in (*there, *made))
    newest = max((piece.upper for piece in there), default=as_of)
    assert all(piece.upper > min(newest, as_of) for piece in made), "no history is made place for by the way"


def test_what_a_wider_partition_covers_is_there() -> None:
    quarter = Range(at("2026-01-01"), at("2026-04-01"))
    wanted = Range(at("2026-02-10"), at("2026-04-02"))
    assert missing(MONTHLY, [wanted], [quarter]) == (Range(at("2026-04-01"), at("2026-05-01")),)
    # one that is covered in part is asked for: the server says what stands in its way
    assert missing(YEARLY, [wanted], [quarter]) == (Range(at("2026-01-01"), at("2027-01-01")),)


@given(MOMENTS, st.sampled_from([years(7), months(3), days(90)]), st.sampled_from([None, years(7)]), KINDS)
def test_no_row_goes_before_its_time(
    as_of: datetime, drop: Span, keep: Span | None, partition: Yearly | Monthly
) -> None:
    boundary = drop_boundary(life(partition, keep, drop), as_of)
    assert boundary is not None
    last = boundary - timedelta(microseconds=1)
    assert drop.after(last) <= as_of
    assert keep is None or keep.after(last) <= as_of


def test_without_a_rule_nothing_goes() -> None:
    assert drop_boundary(life(YEARLY, keep=years(7)), at("2100-01-01")) is None
    assert drop_boundary(TableLifecycle(TABLE, since="at", drop_after=days(1)), at("2100-01-01")) is None


@pytest.mark.parametrize(
    ("column", "partition", "cause"),
    [
        (sa.Column("at", sa.DateTime, primary_key=True), YEARLY, "must carry a time zone"),
        (sa.Column("at", sa.DateTime(timezone=True)), YEARLY, "the primary key of a partitioned table holds at"),
        (sa.Column("at", sa.DateTime(timezone=True), primary_key=True), Monthly("at", ahead=-1), "counted from 0"),
    ],
)
def test_what_cannot_be_partitioned_is_refused(column: sa.Column[datetime], partition: Monthly, cause: str) -> None:
    table = sa.Table("log", sa.MetaData(schema="lab"), sa.Column("id", sa.Integer, primary_key=True), column)
    with pytest.raises(DeclarationError, match=cause):
        TableLifecycle(table, partition=partition)
