"""A process that runs jobs is killed, interrupted or loses its server: the ledger tells, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.errors import AlreadyRunningError
from storekeeper.jobs import Every, Job, Run, history, run_job
from storekeeper.platform import Platform, connect
from storekeeper.span import days

pytestmark = pytest.mark.faults

MOMENT = datetime(2014, 5, 7, tzinfo=UTC)

#: A job that is in the middle of a statement for a minute, and two programs that run it: once, and by the scheduler.
SLOW = """
import sqlalchemy as sa
from storekeeper.jobs import Action

def run(platform, *, as_of, dry_run):
    yield Action("sweep", "hall")
    with platform.postgres.begin(timeout=None) as connection:
        print("inside", flush=True)
        connection.execute(sa.text("SELECT pg_sleep(60)"))
    yield Action("sweep", "attic")

def quick(platform, *, as_of, dry_run):
    yield Action("sweep", "hall")
"""
PROGRAM = """
import sys
from datetime import timedelta
from storekeeper.errors import StorekeeperError
from storekeeper.jobs import Every, Job, run_job
from storekeeper.jobs.scheduler import serve
from storekeeper.platform import connect
from storekeeper.span import days, seconds

what, url = sys.argv[1:]
with connect(stores=("postgres",), postgres_url=url, close_deadline=1) as platform:
    try:
        if what == "once":
            run_job(platform, Job("slow", "slow_job:run", None))
        elif what == "slow":
            serve(platform, jobs=(Job("slow", "slow_job:run", Every(days(1))),), deadline=timedelta(seconds=1))
        else:
            serve(platform, jobs=(Job("quick", "slow_job:quick", Every(seconds(1))),))
    except StorekeeperError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with connect(stores=("postgres",), postgres_url=migrated_url) as opened:
        yield opened


@contextmanager
def program(what: str, url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs the jobs; gone with the block."""
    (folder / "slow_job.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def inside(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"


def again(platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same job, which is quick this time; the server may take a moment to see that a client is gone."""
    monkeypatch.syspath_prepend(str(folder))
    deadline = time.monotonic() + 70
    while True:
        try:
            return run_job(platform, Job("slow", "slow_job:quick", Every(days(1))), as_of=MOMENT)
        except AlreadyRunningError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_killed_run_is_found_dead_by_the_next(
    platform: Platform, migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program("once", migrated_url, tmp_path) as process:
        inside(process)
        (run,) = history(platform)
        assert (run.state, run.runner.rpartition(":")[2]) == ("running", str(process.pid))
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert again(platform, tmp_path, monkeypatch).state == "done"
    newer, older = history(platform)
    assert (newer.state, older.state) == ("done", "died")
    assert older.reason == "its process, or the server, ended before the run did"


def test_ctrl_c_in_the_middle_of_a_statement_cancels_it_and_the_run(
    platform: Platform, migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program("once", migrated_url, tmp_path) as process:
        inside(process)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
        assert time.monotonic() - started < 15
    (run,) = history(platform)
    assert (run.state, run.reason) == ("cancelled", "interrupted")
    assert [action.target for action in run.report.actions] == ["hall"]
    with platform.postgres.begin() as connection:
        sleeping = connection.execute(
            sa.text("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'")
        ).scalar_one()
    assert sleeping == 0
    assert again(platform, tmp_path, monkeypatch).state == "done"


def test_sigterm_ends_the_scheduler_by_the_deadline(platform: Platform, migrated_url: str, tmp_path: Path) -> None:
    with program("slow", migrated_url, tmp_path) as process:
        inside(process)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - started < 20
    (run,) = history(platform)
    assert run.state == "cancelled"
    assert "did not end within 1 s after the scheduler was stopped" in str(run.reason)


def test_sigint_ends_an_idle_scheduler_at_once(platform: Platform, migrated_url: str, tmp_path: Path) -> None:
    with program("quick", migrated_url, tmp_path) as process:
        until(lambda: len(history(platform)) >= 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert {run.state for run in history(platform)} == {"done"}


def test_a_scheduler_whose_server_goes_ends_with_an_error(
    platform: Platform, migrated_url: str, tmp_path: Path
) -> None:
    with program("quick", migrated_url, tmp_path) as process:
        until(lambda: history(platform))
        with psycopg.connect(migrated_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE %s AND pid <> pg_backend_pid()",
                [f"storekeeper %:{process.pid}"],
            )
        assert process.wait(30) != 0
        assert process.stderr is not None
        text = process.stderr.read()
    assert "UnavailableError: run scheduler: the connection that holds the scheduler's lock was lost" in text
    assert "Traceback" not in text


def test_a_killed_scheduler_makes_way_for_the_next(platform: Platform, migrated_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        with program("quick", migrated_url, tmp_path) as process:
            before = len(history(platform, limit=1000))
            until(lambda: len(history(platform, limit=1000)) > before + 1)  # noqa: B023  # asked within the loop
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    ticks = [run.tick for run in history(platform, limit=1000)]
    assert len(ticks) == len(set(ticks))
