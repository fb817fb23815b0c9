"""When jobs are due: ticks are counted from a fixed origin, and what was missed is run as declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from storekeeper.catalog import BackupPolicy, Catalog, Domain, DomainJob
from storekeeper.errors import DeclarationError
from storekeeper.jobs.job import AllWithin, Every, Job, Missed
from storekeeper.jobs.schedule import UPKEEP, due, job_named, jobs_of, latest_tick, next_tick, ticks
from storekeeper.span import ORIGIN, Span, days, hours, minutes, months, seconds, weeks


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def job(schedule: Every | None, missed: Missed) -> Job:
    return Job("sweep", "nowhere:run", schedule, missed=missed)


@pytest.mark.parametrize(
    ("schedule", "moment", "latest", "following"),
    [
        (Every(minutes(5)), "2014-05-07 10:07:30", "2014-05-07 10:05", "2014-05-07 10:10"),
        (Every(minutes(5)), "2014-05-07 10:05:00", "2014-05-07 10:05", "2014-05-07 10:10"),
        (Every(days(1), at=hours(2)), "2014-05-07 01:59:59", "2014-05-06 02:00", "2014-05-07 02:00"),
        (Every(days(1), at=hours(2)), "2014-05-07 02:00", "2014-05-07 02:00", "2014-05-08 02:00"),
        # 2000-01-03 was a Monday, and so is every weekly tick
        (Every(weeks(1)), "2014-05-07 10:00", "2014-05-05 00:00", "2014-05-12 00:00"),
        (Every(months(1), at=hours(3)), "2014-05-01 02:00", "2014-04-01 03:00", "2014-05-01 03:00"),
        (Every(days(1)), "1999-12-31 12:00", "1999-12-31 00:00", "2000-01-01 00:00"),
    ],
)
def test_ticks_count_from_the_origin(schedule: Every, moment: str, latest: str, following: str) -> None:
    assert latest_tick(schedule, at(moment)) == at(latest)
    assert next_tick(schedule, at(moment)) == at(following)


def test_an_interval_that_divides_no_day_still_has_ticks_of_its_own() -> None:
    schedule = Every(hours(7))
    assert [(tick - ORIGIN) % timedelta(hours=7) for tick in ticks(schedule, at("2026-11-21"), at("2026-11-23"))] == [
        timedelta(0)
    ] * 7


@given(
    st.timedeltas(timedelta(days=-400), timedelta(days=400 * 36)).map(lambda age: ORIGIN + age),
    st.lists(st.timedeltas(timedelta(0), timedelta(hours=9)), max_size=5),
    st.sampled_from([Every(hours(1)), Every(hours(6), at=minutes(10)), Every(days(1), at=hours(2)), Every(months(1))]),
)
def test_the_ticks_do_not_depend_on_when_anybody_asks(
    start: datetime, pauses: list[timedelta], schedule: Every
) -> None:
    moments = [start]
    for pause in pauses:
        moments.append(moments[-1] + pause)
    asked = [tick for since, until in pairwise(moments) for tick in ticks(schedule, since, until)]
    assert asked == list(ticks(schedule, moments[0], moments[-1]))


NOW = at("2014-05-07 10:07:30")


@pytest.mark.parametrize(
    ("missed", "last", "expected"),
    [
        ("none", "2014-05-07 09:55", []),  # the tick of 10:05 is two and a half minutes old: forgotten
        ("one", "2014-05-07 09:50", ["2014-05-07 10:05"]),
        ("one", "2014-05-07 10:05", []),
        ("one", None, ["2014-05-07 10:05"]),
        ("none", None, []),
        (AllWithin(hours(1)), "2014-05-07 09:50", ["2014-05-07 09:55", "2014-05-07 10:00", "2014-05-07 10:05"]),
        (AllWithin(minutes(5)), "2014-05-07 09:00", ["2014-05-07 10:05"]),
        (AllWithin(hours(1)), "2014-05-07 10:05", []),
        (AllWithin(hours(1)), None, ["2014-05-07 10:05"]),
        # a ledger of the future, after a clock was set back, makes nothing due
        ("one", "2014-05-07 11:00", []),
    ],
)
def test_missed_ticks_are_run_as_declared(missed: Missed, last: str | None, expected: list[str]) -> None:
    found = due(job(Every(minutes(5)), missed), at(last) if last else None, NOW)
    assert found == tuple(at(tick) for tick in expected)


def test_a_tick_that_has_just_come_is_due_even_where_missed_ones_are_forgotten() -> None:
    sweep = job(Every(minutes(5)), "none")
    assert due(sweep, at("2014-05-07 10:00"), at("2014-05-07 10:05:20")) == (at("2014-05-07 10:05"),)


def test_a_job_without_a_schedule_is_never_due() -> None:
    assert due(job(None, "one"), None, NOW) == ()


@pytest.mark.parametrize("offset", [hours(24), months(1), days(2)])
def test_an_offset_is_shorter_than_its_interval(offset: Span) -> None:
    with pytest.raises(DeclarationError, match="shorter than the interval"):
        Every(days(1), at=offset)


def test_backups_go_by_the_policies_of_the_catalogue() -> None:
    catalog = Catalog(
        (),
        backups=(
            BackupPolicy("postgres", full=days(1), keep=days(30), at=hours(2)),
            BackupPolicy("redis", full=hours(1), keep=days(7), at=Span(duration=timedelta(hours=2, minutes=15))),
        ),
    )
    schedules = {found.name: found.schedule for found in jobs_of(catalog)}
    assert schedules["backup-postgres"] == Every(days(1), at=hours(2))
    assert schedules["backup-redis"] == Every(hours(1), at=minutes(15))
    assert schedules["backup-mongo"] is None
    assert schedules["backup-timescale"] is None


def test_every_job_has_a_function_and_a_summary() -> None:
    for found in jobs_of(Catalog(())):
        assert callable(found.function())
        assert found.summary


def test_what_takes_away_for_good_is_marked_destructive() -> None:
    assert {found.name for found in jobs_of(Catalog(())) if found.destructive} == {"cleanup", "retention"}


def test_an_unknown_job_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DeclarationError, match=r"known: rollups$"):
        job_named("rollup", UPKEEP)
    known = "known: rollups, partitions, views, cleanup, compression, retention, relay"
    with pytest.raises(DeclarationError, match=known):
        job_named("xyz", UPKEEP)


def test_a_function_that_is_not_there_is_a_wrong_declaration() -> None:
    for path in ("storekeeper.jobs.nowhere:run", "storekeeper.jobs.cleanup:nothing", "storekeeper.jobs.cleanup"):
        with pytest.raises(DeclarationError, match="load job sweep"):
            Job("sweep", path, Every(seconds(1))).function()


def test_a_domain_brings_jobs_of_its_own() -> None:
    own = DomainJob("shop.sweep", "shop.upkeep:sweep", hours(1), "sweeps", at=minutes(5), destructive=True, quiet=True)
    found = job_named("shop.sweep", jobs_of(Catalog((Domain("shop", jobs=(own,)),))))
    assert found == Job(
        "shop.sweep", "shop.upkeep:sweep", Every(hours(1), at=minutes(5)), "sweeps", destructive=True, quiet=True
    )


@pytest.mark.parametrize(("name", "run"), [("sweep", "shop.upkeep:sweep"), ("shop.sweep", "shop.upkeep.sweep")])
def test_a_job_of_a_domain_says_whose_it_is_and_where(name: str, run: str) -> None:
    with pytest.raises(DeclarationError):
        DomainJob(name, run, hours(1), "sweeps")
