"""A refresh is foreseen level by level: what one rollup changes, the next is made of."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from storekeeper.catalog import Hypertable, Range, Rollup, ohlcv
from storekeeper.jobs.foreseen import LevelState, foresee, period
from storekeeper.span import days, hours, minutes
from storekeeper.timescale.levels import levels

trades = sa.Table(
    "trades",
    sa.MetaData(schema="shop"),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("price", sa.Numeric(18, 6), nullable=False),
    sa.Column("volume", sa.Numeric(18, 6), nullable=False),
)
MEASURES = ohlcv("price", "volume")
TRADES = Hypertable(
    trades,
    time="time",
    chunk=days(1),
    rollups=(
        Rollup("five", every=minutes(5), by=("symbol",), measures=MEASURES, chunk=days(7)),
        Rollup("hourly", every=hours(1), by=("symbol",), measures=MEASURES, chunk=days(28)),
    ),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2014-05-{text}").replace(tzinfo=UTC)


def between(lower: str, upper: str) -> Range:
    return Range(at(lower), at(upper))


def states(
    *changed: Range, chunks: tuple[Range, ...] = (between("07", "08"),), mark: datetime | None = None
) -> list[LevelState]:
    rows, five, hourly = levels(TRADES)
    return [LevelState(rows, chunks, changed), LevelState(five, (), (), mark), LevelState(hourly, ())]


def test_what_one_rollup_changes_the_next_is_made_of() -> None:
    five, hourly = foresee(states(between("07 10:02", "07 10:03")), at("08"))
    assert five.windows == (between("07 10:00", "07 10:05"),)
    assert five.new_chunks == (between("05", "12"),)
    assert hourly.windows == (between("07 10:00", "07 11:00"),)
    assert [refresh.level.name for refresh in (five, hourly)] == ["shop.five", "shop.hourly"]


def test_a_bucket_that_has_not_ended_waits() -> None:
    changed = states(between("07 10:02", "07 10:08"))
    (five,) = foresee(changed, at("07 10:09"))
    assert five.windows == (between("07 10:00", "07 10:05"),)
    assert foresee(changed, at("07 10:04")) == ()


def test_times_without_a_chunk_hold_nothing() -> None:
    everything = Range(datetime(100, 1, 1, tzinfo=UTC), datetime(9900, 1, 1, tzinfo=UTC))
    assert foresee(states(everything, chunks=()), at("20")) == ()
    five, _ = foresee(states(everything), at("20"))
    assert five.windows == (between("07", "08"),)


def test_no_chunk_is_made_for_what_the_rollup_has_dropped() -> None:
    (five,) = foresee(states(between("07 10:02", "07 10:03"), mark=at("08")), at("20"))
    assert five.new_chunks == ()


def test_a_period_is_written_with_seconds_only_where_it_has_some() -> None:
    assert period([between("07", "08"), between("09", "10 10:30")]) == "2014-05-07 00:00 to 2014-05-10 10:30"
    assert period([between("07 10:00:05", "08")]) == "2014-05-07 10:00:05 to 2014-05-08 00:00"
