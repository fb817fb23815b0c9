"""The scheduler runs each tick once, one scheduler at a time, and ends as it is told to."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from storekeeper.errors import AlreadyRunningError, NotVerifiedError, UnavailableError
from storekeeper.jobs import Action, AllWithin, Every, Job, history, run_job, scheduler
from storekeeper.jobs.exclusive import runner
from storekeeper.jobs.job import Missed, Steps
from storekeeper.jobs.runs import run_tick, server_now
from storekeeper.jobs.schedule import latest_tick
from storekeeper.platform import Platform
from storekeeper.span import days, hours, seconds

inside = threading.Event()
go_on = threading.Event()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    inside.clear()
    go_on.clear()
    monkeypatch.setattr(scheduler, "_HEARTBEAT", timedelta(seconds=0.1))


def sweeps(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    yield Action("sweep", "floor")


def fails(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    raise NotVerifiedError("two buckets differ")
    yield


def is_defective(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    raise ZeroDivisionError("a defect")
    yield


def waits(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    yield Action("sweep", "hall")
    inside.set()
    assert go_on.wait(30)
    yield Action("sweep", "attic")
    yield Action("sweep", "cellar")


def job(function: str, every: Every, missed: Missed = "one", name: str = "") -> Job:
    return Job(name or function, f"{__name__}:{function}", every, missed=missed)


@dataclass(frozen=True)
class Serving:
    """A scheduler in a thread."""

    future: Future[tuple[str, ...]]
    stop: threading.Event

    def until(self, condition: Callable[[], object]) -> None:
        """Waits for the condition; an end of the scheduler, or 20 s, is a failure."""
        deadline = time.monotonic() + 20
        while not condition():
            assert not self.future.done(), self.future.result()
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.05)


@contextmanager
def serving(platform: Platform, *jobs: Job, **options: Any) -> Iterator[Serving]:
    """Runs a scheduler; it is stopped with the block at the latest."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(scheduler.serve, platform, stop=stop, jobs=jobs, **options)
        try:
            yield Serving(future, stop)
        finally:
            stop.set()


def test_every_tick_runs_once_and_as_of_itself(platform: Platform) -> None:
    every = Every(seconds(1))
    with serving(platform, job("sweeps", every), job("sweeps", every, name="mops")) as served:
        served.until(lambda: len(history(platform, job="sweeps")) >= 3 and len(history(platform, job="mops")) >= 3)
    assert served.future.result() == ()
    for name in ("sweeps", "mops"):
        ticks = [run.tick for run in history(platform, limit=100, job=name)]
        assert len(set(ticks)) == len(ticks)
        newest, *earlier = history(platform, limit=100, job=name)
        # the newest may have just begun when the scheduler was stopped
        assert newest.state in ("done", "cancelled")
        assert {run.state for run in earlier} == {"done"}
        for run in (newest, *earlier):
            assert run.tick is not None
            assert run.tick.microsecond == 0
            assert run.as_of == run.tick
            assert run.started_at >= run.tick


def test_a_second_scheduler_is_refused_and_pointed_at_the_first(platform: Platform) -> None:
    with serving(platform, job("sweeps", Every(seconds(1)))) as served:
        served.until(lambda: history(platform))
        with pytest.raises(AlreadyRunningError, match="run scheduler: runs already by ") as caught:
            scheduler.serve(platform, stop=threading.Event(), jobs=())
        assert runner() in str(caught.value)
        assert not served.future.done()
    # and the lock goes with it
    stop = threading.Event()
    stop.set()
    assert scheduler.serve(platform, stop=stop, jobs=()) == ()


def test_what_was_missed_is_run_at_the_start_as_declared(platform: Platform) -> None:
    hourly, now = Every(hours(1)), server_now(platform)
    newest = latest_tick(hourly, now)
    if now - newest > timedelta(minutes=59):
        pytest.skip("the hour turns in the middle of this test")
    declared: dict[str, Missed] = {"none": "none", "one": "one", "all": AllWithin(hours(3)), "new": "one"}
    jobs = [job("sweeps", hourly, missed, name) for name, missed in declared.items()]
    for known in jobs[:3]:
        assert run_tick(platform, known, newest - timedelta(hours=12)) is not None
    with serving(platform, *jobs) as served:
        served.until(lambda: len(history(platform, limit=100)) >= 3 + 1 + 3 + 1)
        time.sleep(0.5)
    ticks = {name: [run.tick for run in reversed(history(platform, job=name))] for name in declared}
    before = newest - timedelta(hours=12)
    expected_none = [before] if now - newest > timedelta(minutes=1) else [before, newest]
    assert ticks["none"] == expected_none
    assert ticks["one"] == [before, newest]
    assert ticks["all"] == [before, *(newest - timedelta(hours=back) for back in (2, 1, 0))]
    assert ticks["new"] == [newest]


def test_a_job_that_fails_stops_neither_itself_nor_the_others(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    every = Every(seconds(1))
    with caplog.at_level(logging.INFO, "storekeeper.jobs"):
        with serving(platform, job("fails", every), job("is_defective", every), job("sweeps", every)) as served:
            served.until(lambda: all(len(history(platform, job=n)) >= 2 for n in ("fails", "is_defective", "sweeps")))
        assert served.future.result() == ()
    states = {run.job: (run.state, run.reason) for run in history(platform, limit=100)}
    assert states == {"fails": ("failed", "two buckets differ"), "is_defective": ("failed", "a defect")} | {
        "sweeps": ("done", None)
    }
    assert "two buckets differ" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_job_that_is_told_to_stop_ends_after_the_action_at_hand(platform: Platform) -> None:
    with serving(platform, job("waits", Every(days(1)))) as served:
        assert inside.wait(20)
        served.stop.set()
        time.sleep(0.3)
        assert not served.future.done()
        go_on.set()
        assert served.future.result(20) == ()
    (run,) = history(platform)
    assert (run.state, run.reason) == ("cancelled", "it was told to stop")
    assert [action.target for action in run.report.actions] == ["hall", "attic"]
    # the tick was called off, so the next scheduler takes it up
    with serving(platform, job("waits", Every(days(1)))) as served:
        served.until(lambda: history(platform)[0].state == "done")
    assert [known.tick for known in history(platform)] == [run.tick, run.tick]


def test_a_job_that_does_not_stop_is_cut_off_at_the_deadline(platform: Platform) -> None:
    try:
        with serving(platform, job("waits", Every(days(1))), deadline=timedelta(seconds=0.3)) as served:
            assert inside.wait(20)
            served.stop.set()
            assert served.future.result(20) == ("waits",)
            (run,) = history(platform)
            assert run.state == "cancelled"
            assert "did not end within 0.3 s" in str(run.reason)
    finally:
        go_on.set()
    for thread in threading.enumerate():
        if thread.name == "job waits":
            thread.join(20)


def test_a_scheduler_that_lost_its_lock_ends_with_an_error(platform: Platform, migrated_url: str) -> None:
    with serving(platform, job("sweeps", Every(days(1)))) as served:
        served.until(lambda: history(platform))
        with psycopg.connect(migrated_url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        with pytest.raises(UnavailableError, match="holds the scheduler's lock was lost"):
            served.future.result(20)


def test_a_job_that_runs_by_hand_is_tried_again(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_RETRY", timedelta(seconds=0.2))
    daily = job("waits", Every(days(1)))
    with ThreadPoolExecutor(1) as threads:
        by_hand = threads.submit(run_job, platform, daily, as_of=datetime(2014, 5, 7, tzinfo=UTC))
        assert inside.wait(20)
        with serving(platform, daily) as served:
            time.sleep(0.5)
            go_on.set()
            assert by_hand.result(20).state == "done"
            served.until(lambda: [run.state for run in history(platform)] == ["done", "done"])
    assert [run.tick is None for run in history(platform)] == [False, True]
