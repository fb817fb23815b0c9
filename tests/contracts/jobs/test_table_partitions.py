"""Partitions of relational tables come and go by the job clock: what a dry run says is what the real run does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.catalog import Catalog, Range
from storekeeper.catalog.partitions import ahead
from storekeeper.catalog.ranges import partition_range
from storekeeper.domains import CATALOG
from storekeeper.errors import JobFailedError
from storekeeper.jobs import Action, Report, history, run_job
from storekeeper.ledger.catalogues import record_catalogue
from storekeeper.platform import Platform
from storekeeper.span import years
from storekeeper.stores.postgres import partition_sql, partitions
from storekeeper.stores.postgres.partitions import drop_partition, make_partitions, partitions_of

TRANSACTIONS, ACTIVITY = (
    life for life in CATALOG.lifecycles if life.name in ("invest.transactions", "invest.user_activity_log")
)
NOW = datetime(2014, 6, 15, tzinfo=UTC)


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """The invest domain's tables alone, with no partition of a table yet."""
    domain = CATALOG.domain("invest")
    with platform.postgres.begin() as connection:
        for lifecycle in (TRANSACTIONS, ACTIVITY):
            for partition in partitions_of(connection, lifecycle):
                connection.execute(sa.text(f"DROP TABLE invest.{partition.name}"))
    declare(platform, replace(domain, hypertables=()))
    return platform


def declare(platform: Platform, domain: Any) -> None:
    platform.catalog = Catalog((domain,), backups=CATALOG.backups)
    with platform.postgres.begin() as connection:
        connection.execute(record_catalogue(platform.catalog))


def month(number: int, year: int = 2014) -> Range:
    assert ACTIVITY.partition is not None
    return partition_range(ACTIVITY.partition, datetime(year, number, 1, tzinfo=UTC))


def names(platform: Platform) -> list[str]:
    """Every partition, and what is left of one, in order of its name."""
    with platform.postgres.begin() as connection:
        there = [one for lifecycle in (TRANSACTIONS, ACTIVITY) for one in partitions_of(connection, lifecycle)]
    return sorted(f"{one.name}{'' if one.state == 'attached' else f' ({one.state})'}" for one in there)


def filled(platform: Platform, *months: int) -> None:
    """These months of 2014, with one row a day."""
    make_partitions(platform.postgres, ACTIVITY, [month(number) for number in months])
    with platform.postgres.begin() as connection:
        for number in months:
            connection.execute(
                sa.text(
                    "INSERT INTO invest.user_activity_log (activity_type, created_at) SELECT 'login', day "
                    "FROM generate_series(CAST(:lower AS timestamptz), :upper, interval '1 day') AS day"
                ),
                {"lower": month(number).lower, "upper": month(number).upper - timedelta(hours=1)},
            )


def count(platform: Platform) -> int:
    with platform.postgres.begin() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM invest.user_activity_log")).scalar_one())


def gist(report: Report) -> list[tuple[str, str, str]]:
    return [(action.verb, action.target, action.detail) for action in report.actions]


def both(platform: Platform, job: str, as_of: datetime) -> list[tuple[str, str, str]]:
    """Runs a job dry, then for good: they must say the same, and the dry one must leave all as it was."""
    before = names(platform)
    rehearsed = run_job(platform, job, as_of=as_of, dry_run=True)
    assert names(platform) == before
    real = run_job(platform, job, as_of=as_of)
    assert gist(rehearsed.report) == gist(real.report)
    return gist(real.report)


def test_they_are_made_ahead_of_what_comes(platform: Platform) -> None:
    made = both(platform, "partitions", NOW)
    assert made == [
        ("make partition", "invest.transactions_2014", "2014-01-01 00:00 to 2015-01-01 00:00"),
        ("make partition", "invest.transactions_2015", "2015-01-01 00:00 to 2016-01-01 00:00"),
        *(
            ("make partition", f"invest.user_activity_log_20140{n}", f"2014-0{n}-01 00:00 to 2014-{n + 1:02}-01 00:00")
            for n in (6, 7, 8, 9)
        ),
    ]
    assert both(platform, "partitions", NOW) == []
    assert both(platform, "partitions", NOW.replace(day=30, hour=23)) == []
    (next_month,) = both(platform, "partitions", datetime(2014, 7, 1, tzinfo=UTC))
    assert next_month[1] == "invest.user_activity_log_201410"


def test_nothing_is_missed_after_a_long_sleep(platform: Platform) -> None:
    run_job(platform, "partitions", as_of=NOW)
    made = [target for _, target, _ in both(platform, "partitions", NOW.replace(year=2017))]
    assert made[:3] == [f"invest.transactions_{year}" for year in (2016, 2017, 2018)]
    assert (made[3], made[-1], len(made)) == (
        "invest.user_activity_log_201410",
        "invest.user_activity_log_201709",
        3 + 36,
    )
    with platform.postgres.begin() as connection:
        for lifecycle in (TRANSACTIONS, ACTIVITY):
            there = [one.range for one in partitions_of(connection, lifecycle)]
            assert all(one.upper == other.lower for one, other in pairwise(there))


def test_months_go_when_all_of_their_rows_are_ninety_days_old(platform: Platform) -> None:
    filled(platform, 1, 2, 3, 4)
    assert both(platform, "retention", datetime(2014, 5, 2, tzinfo=UTC)) == [
        ("drop partition", "invest.user_activity_log_201401", "2014-01-01 00:00 to 2014-02-01 00:00")
    ]
    assert count(platform) == 28 + 31 + 30
    # the last instant of February is ninety days old, to the microsecond
    edge = month(2).upper + timedelta(days=90)
    assert both(platform, "retention", edge - timedelta(microseconds=1)) == []
    assert [target for _, target, _ in both(platform, "retention", edge)] == ["invest.user_activity_log_201402"]
    assert both(platform, "retention", edge) == []
    assert names(platform) == ["user_activity_log_201403", "user_activity_log_201404"]


def test_transactions_never_go(platform: Platform) -> None:
    assert TRANSACTIONS.partition is not None
    make_partitions(platform.postgres, TRANSACTIONS, [Range(datetime(2000, 1, 1, tzinfo=UTC), NOW)])
    before = names(platform)
    run = run_job(platform, "retention", as_of=datetime(2100, 1, 1, tzinfo=UTC), allow_future=True)
    assert run.report == Report()
    assert names(platform) == before


def test_where_old_ones_are_to_go_they_stay_for_seven_calendar_years(platform: Platform) -> None:
    domain = platform.catalog.domain("invest")
    declare(platform, replace(domain, lifecycles=(replace(TRANSACTIONS, drop_after=years(1)),)))
    make_partitions(platform.postgres, TRANSACTIONS, [Range(datetime(2005, 1, 1, tzinfo=UTC), NOW)])
    early = datetime(2012, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert both(platform, "retention", early) == []
    assert [target for _, target, _ in both(platform, "retention", datetime(2013, 1, 1, tzinfo=UTC))] == [
        "invest.transactions_2005"
    ]


def test_who_uses_the_table_goes_on(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that stays open is waited for, and then not any longer: it still reads and writes its months."""
    monkeypatch.setattr(partitions, "_DETACHING", {"lock_timeout": "300ms"})
    filled(platform, 1, 4)
    write = "INSERT INTO invest.user_activity_log (activity_type, created_at) VALUES ('x', '2014-04-02Z')"
    with psycopg.connect(platform.url("postgres")) as user:
        user.execute(write.encode())
        assert len(both(platform, "retention", NOW)) == 1
        user.execute(write.encode())
        assert user.execute("SELECT count(*) FROM invest.user_activity_log").fetchone() == (32,)
    assert names(platform) == ["user_activity_log_201404"]


def test_an_interrupted_detachment_is_finished_by_the_next_run(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(platform, 1, 2, 3)
    monkeypatch.setattr(partitions, "_DETACHING", {"lock_timeout": "100ms"})
    with psycopg.connect(platform.url("postgres")) as reader:
        reader.execute("SELECT count(*) FROM invest.user_activity_log_201402")
        with pytest.raises(JobFailedError):
            run_job(platform, "retention", as_of=NOW)
    (failed,) = history(platform, 1)
    assert gist(failed.report) == [
        ("drop partition", "invest.user_activity_log_201401", "2014-01-01 00:00 to 2014-02-01 00:00")
    ], "what went before the failure is known"
    assert names(platform) == ["user_activity_log_201402 (detaching)", "user_activity_log_201403"]
    assert count(platform) == 31
    assert len(both(platform, "retention", NOW)) == 1
    assert names(platform) == ["user_activity_log_201403"]


def test_a_table_that_was_detached_and_not_dropped_goes_with_the_next_run(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(platform, 1, 2, 3)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    (january, *_) = partitions_in(platform)
    with monkeypatch.context() as patched:
        patched.setattr(partition_sql, "drop", killed)
        with pytest.raises(Killed):
            drop_partition(platform.postgres, ACTIVITY, january)
    assert names(platform)[0] == "user_activity_log_201401 (detached)"
    # the month is loaded again meanwhile: what is there of it by this name makes room
    assert make_partitions(platform.postgres, ACTIVITY, [month(1)]) == (month(1),)
    filled(platform, 1)
    with monkeypatch.context() as patched:
        patched.setattr(partition_sql, "drop", killed)
        with pytest.raises(Killed):
            run_job(platform, "retention", as_of=NOW)
    assert [target for _, target, _ in both(platform, "retention", NOW)] == [
        "invest.user_activity_log_201401",
        "invest.user_activity_log_201402",
    ]
    assert names(platform) == ["user_activity_log_201403"]


def test_what_somebody_detached_to_keep_it_stays(platform: Platform) -> None:
    filled(platform, 1, 2)
    with platform.postgres.begin() as connection:
        connection.execute(
            sa.text("ALTER TABLE invest.user_activity_log DETACH PARTITION invest.user_activity_log_201401")
        )
    assert [target for _, target, _ in both(platform, "retention", NOW)] == ["invest.user_activity_log_201402"]
    with platform.postgres.begin() as connection:
        kept = connection.execute(sa.text("SELECT count(*) FROM invest.user_activity_log_201401")).scalar_one()
    assert kept == 31


def test_what_is_gone_already_is_no_failure(platform: Platform) -> None:
    filled(platform, 1, 2)
    january, _ = partitions_in(platform)
    for _ in range(2):
        drop_partition(platform.postgres, ACTIVITY, january)
        assert names(platform) == ["user_activity_log_201402"]


def partitions_in(platform: Platform) -> list[Any]:
    with platform.postgres.begin() as connection:
        return list(partitions_of(connection, ACTIVITY))


def test_insights_go_after_thirty_days_or_when_they_expire(platform: Platform) -> None:
    with platform.postgres.begin() as connection:
        connection.execute(
            sa.text("""
                INSERT INTO invest.ai_insights (insight_type, title, description, confidence, created_at, expires_at)
                SELECT 'market', 't' || day, 'd', 50, CAST(:now AS timestamptz) - make_interval(days => day),
                    CASE WHEN day = 3 THEN CAST(:now AS timestamptz) - interval '1 second' END
                FROM generate_series(0, 39) AS day"""),
            {"now": NOW},
        )
    detail = "rows past expires_at or created_at + 30d"
    foreseen = run_job(platform, "cleanup", as_of=NOW, dry_run=True).report.actions
    assert run_job(platform, "cleanup", as_of=NOW).report.actions == foreseen
    assert foreseen == (Action("delete", "invest.ai_insights", detail, rows=10),)


def test_what_is_made_ahead_is_what_a_row_needs(platform: Platform) -> None:
    run_job(platform, "partitions", as_of=NOW)
    assert ACTIVITY.partition is not None
    reach = ahead(ACTIVITY.partition, NOW)
    with platform.postgres.begin() as connection:
        for moment in (reach.lower, NOW, reach.upper - timedelta(microseconds=1)):
            connection.execute(
                sa.text("INSERT INTO invest.user_activity_log (activity_type, created_at) VALUES ('x', :moment)"),
                {"moment": moment},
            )
    assert count(platform) == 3
