"""A run of a job is written down whatever comes of it, and the same job never runs twice at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.catalog import Catalog
from storekeeper.errors import (
    AheadOfClockError,
    AlreadyRunningError,
    DriftError,
    JobFailedError,
    NaiveTimeError,
    NotMigratedError,
    NotVerifiedError,
)
from storekeeper.jobs import Action, Every, Job, Run, Skipped, history, last_runs, run_job
from storekeeper.jobs.exclusive import runner
from storekeeper.jobs.job import Steps
from storekeeper.jobs.runs import newest_tick, run_tick, server_now
from storekeeper.platform import Platform, connect
from storekeeper.span import hours

MOMENT = datetime(2014, 5, 7, 10, tzinfo=UTC)

#: What the jobs below were called with, and how a test holds one in the middle.
calls: list[tuple[datetime, bool]] = []
unwound: list[str] = []
inside = threading.Event()
go_on = threading.Event()

FIRST = Action("drop chunk", "invest.intraday_prices_p20140401", "older than 30d", rows=390, bytes=8192)
SECOND = Action("drop chunk", "invest.intraday_prices_p20140402", rows=10)
LEFT = Skipped("compress", "invest.intraday_prices_p20140403", "not supported by plain PostgreSQL partitions")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()
    unwound.clear()
    inside.clear()
    go_on.clear()


def sweeps(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    calls.append((as_of, dry_run))
    yield FIRST
    yield LEFT
    yield SECOND


def fails_late(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    yield FIRST
    raise NotVerifiedError("two buckets differ", operation="verify", target="invest.stock_prices_5min", hint="refresh")


def is_defective(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    yield FIRST
    raise ZeroDivisionError("a defect")


def is_interrupted(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    yield FIRST
    raise KeyboardInterrupt


def waits(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    try:
        yield FIRST
        inside.set()
        assert go_on.wait(30)
        yield SECOND
    finally:
        unwound.append("waits")


def job(function: str, *, destructive: bool = False) -> Job:
    return Job("sweep", f"{__name__}:{function}", Every(hours(1)), destructive=destructive)


@contextmanager
def in_the_middle(platform: Platform) -> Iterator[Future[Run]]:
    """Another thread is in the middle of a run; it ends with the block at the latest."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(run_job, platform, job("waits"), as_of=MOMENT)
        try:
            assert inside.wait(30)
            yield future
        finally:
            go_on.set()


def test_a_run_is_written_down_with_all_it_did(platform: Platform) -> None:
    seen: list[Action | Skipped] = []
    run = run_job(platform, job("sweeps"), as_of=MOMENT, tell=seen.append)
    assert calls == [(MOMENT, False)]
    assert seen == [FIRST, LEFT, SECOND]
    assert (run.state, run.as_of, run.tick, run.runner) == ("done", MOMENT, None, runner())
    assert run.report.actions == (FIRST, SECOND)
    assert run.report.skipped == (LEFT,)
    assert run.seconds is not None
    assert 0 <= run.seconds < 60
    assert history(platform) == (run,)
    assert last_runs(platform) == {"sweep": run}
    with platform.postgres.begin() as connection:
        counted = connection.execute(sa.text("SELECT rows, bytes, reason FROM storekeeper.runs")).one()
    assert tuple(counted) == (400, 8192, None)


def test_without_a_moment_a_run_is_as_of_the_servers_now(platform: Platform) -> None:
    before = server_now(platform)
    run = run_job(platform, job("sweeps", destructive=True))
    assert before <= run.as_of <= server_now(platform)
    assert run.as_of.utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_refused_before_anything_is_written(platform: Platform) -> None:
    with pytest.raises(NaiveTimeError):
        run_job(platform, job("sweeps"), as_of=MOMENT.replace(tzinfo=None))
    assert history(platform) == ()


def test_what_was_done_before_a_failure_is_kept(platform: Platform) -> None:
    with pytest.raises(JobFailedError, match=r"run job sweep: verify invest\.stock_prices_5min: two buckets") as caught:
        run_job(platform, job("fails_late"), as_of=MOMENT)
    assert isinstance(caught.value.__cause__, NotVerifiedError)
    assert caught.value.hint == "refresh"
    (run,) = history(platform)
    assert run.state == "failed"
    assert run.report.actions == (FIRST,)
    assert run.reason is not None
    assert "two buckets differ" in run.reason


def test_a_defect_is_written_down_and_not_dressed_up(platform: Platform) -> None:
    with pytest.raises(ZeroDivisionError):
        run_job(platform, job("is_defective"), as_of=MOMENT)
    (run,) = history(platform)
    assert (run.state, run.reason, run.report.actions) == ("failed", "a defect", (FIRST,))


def test_an_interrupted_run_is_cancelled_and_the_next_goes_on(platform: Platform) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_job(platform, job("is_interrupted"), as_of=MOMENT)
    assert run_job(platform, job("sweeps"), as_of=MOMENT).state == "done"
    newer, older = history(platform)
    assert (newer.state, older.state, older.reason) == ("done", "cancelled", "interrupted")
    assert older.report.actions == (FIRST,)


def test_a_run_that_is_told_to_stop_ends_between_two_actions(platform: Platform) -> None:
    stop = threading.Event()
    run = run_job(platform, job("waits"), as_of=MOMENT, stop=stop, tell=lambda _: stop.set())
    assert (run.state, run.report.actions) == ("cancelled", (FIRST,))
    assert unwound == ["waits"]
    assert history(platform) == (run,)


def test_a_dry_run_says_the_same_and_leaves_no_trace(platform: Platform) -> None:
    rehearsed = run_job(platform, job("sweeps"), as_of=MOMENT, dry_run=True)
    assert history(platform) == ()
    carried_out = run_job(platform, job("sweeps"), as_of=MOMENT)
    assert rehearsed.report == carried_out.report
    assert rehearsed.dry_run
    assert rehearsed.id is None
    assert calls == [(MOMENT, True), (MOMENT, False)]


def test_a_dry_run_goes_beside_a_real_one(platform: Platform) -> None:
    with in_the_middle(platform):
        assert run_job(platform, job("sweeps"), dry_run=True).report.actions == (FIRST, SECOND)


def test_nothing_is_taken_away_as_of_a_moment_that_has_not_come(platform: Platform) -> None:
    tomorrow = server_now(platform) + timedelta(days=1)
    with pytest.raises(AheadOfClockError, match="has not come"):
        run_job(platform, job("sweeps", destructive=True), as_of=tomorrow)
    assert calls == []
    (run,) = history(platform)
    assert (run.state, run.report.actions) == ("failed", ())
    # what takes nothing away, says what it would take, or is allowed to, may look ahead
    for run in (
        run_job(platform, job("sweeps"), as_of=tomorrow),
        run_job(platform, job("sweeps", destructive=True), as_of=tomorrow, dry_run=True),
        run_job(platform, job("sweeps", destructive=True), as_of=tomorrow, allow_future=True),
    ):
        assert (run.state, run.as_of) == ("done", tomorrow)


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_is_taken_away_by_another_catalogue_than_the_applied_one(platform: Platform, dry_run: bool) -> None:
    platform.catalog = replace(platform.catalog, version="another")
    with pytest.raises(DriftError, match="is not the one applied on"):
        run_job(platform, job("sweeps", destructive=True), as_of=MOMENT, dry_run=dry_run)
    assert calls == []
    assert run_job(platform, job("sweeps"), as_of=MOMENT, dry_run=dry_run).state == "done"


def test_the_same_job_twice_at_once_is_refused_with_since_when(platform: Platform) -> None:
    with in_the_middle(platform) as other:
        (running,) = history(platform)
        with pytest.raises(AlreadyRunningError) as caught:
            run_job(platform, job("sweeps"), as_of=MOMENT)
        text = str(caught.value)
        assert f"runs since {running.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" in text
        assert runner() in text
        assert (running.state, running.seconds) == ("running", None)
        # another job is none of its business
        assert run_job(platform, replace(job("sweeps"), name="other"), as_of=MOMENT).state == "done"
        go_on.set()
        assert other.result(30).state == "done"
    assert {run.job: run.state for run in history(platform)} == {"sweep": "done", "other": "done"}


def test_a_tick_is_run_once(platform: Platform) -> None:
    sweep = job("sweeps")
    assert newest_tick(platform, sweep) is None
    run = run_tick(platform, sweep, MOMENT)
    assert run is not None
    assert (run.tick, run.as_of, run.state) == (MOMENT, MOMENT, "done")
    assert run_tick(platform, sweep, MOMENT) is None
    assert len(calls) == 1
    assert newest_tick(platform, sweep) == MOMENT
    # by hand it may be run again and again, as of the same moment
    assert run_job(platform, sweep, as_of=MOMENT).state == "done"


def test_a_tick_that_failed_is_not_run_again(platform: Platform) -> None:
    with pytest.raises(JobFailedError):
        run_tick(platform, job("fails_late"), MOMENT)
    assert run_tick(platform, job("fails_late"), MOMENT) is None


def test_a_tick_that_was_called_off_may_be_run_again(platform: Platform) -> None:
    stop = threading.Event()
    run = run_tick(platform, job("sweeps"), MOMENT, stop=stop, tell=lambda _: stop.set())
    assert run is not None
    assert run.state == "cancelled"
    assert newest_tick(platform, job("sweeps")) is None
    again = run_tick(platform, job("sweeps"), MOMENT)
    assert again is not None
    assert again.state == "done"


def test_a_run_whose_lock_is_lost_is_found_dead_and_learns_of_it(platform: Platform, migrated_url: str) -> None:
    with in_the_middle(platform) as other:
        with psycopg.connect(migrated_url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        run = _retried(platform)
        assert run.state == "done"
        go_on.set()
        with pytest.raises(JobFailedError, match="its lock was lost"):
            other.result(30)
    newer, older = history(platform)
    assert (newer.state, older.state) == ("done", "died")


def _retried(platform: Platform) -> Run:
    """The lock goes when the server has ended the session, a moment after it was told to."""
    for _ in range(100):
        try:
            return run_job(platform, job("sweeps"), as_of=MOMENT)
        except AlreadyRunningError:
            threading.Event().wait(0.05)
    raise AssertionError("the lock is still held")


def test_the_history_is_newest_first_and_of_one_job_where_asked(platform: Platform) -> None:
    names = ["a", "b", "a", "c"]
    for name in names:
        run_job(platform, replace(job("sweeps"), name=name), as_of=MOMENT)
    assert [run.job for run in history(platform)] == ["c", "a", "b", "a"]
    assert [run.job for run in history(platform, limit=2)] == ["c", "a"]
    assert [run.job for run in history(platform, job="a")] == ["a", "a"]
    assert set(last_runs(platform)) == {"a", "b", "c"}


def test_a_store_that_was_never_migrated_says_so(postgres_url: str) -> None:

    with (
        connect(stores=("postgres",), postgres_url=postgres_url, catalog=Catalog(())) as bare,
        pytest.raises(NotMigratedError),
    ):
        run_job(bare, job("sweeps"), as_of=MOMENT)
