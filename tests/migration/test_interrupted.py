"""Two migrations at once queue up; one that is killed or kept out leaves a state from which the next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from storekeeper import Catalog, Platform
from storekeeper.errors import AlreadyRunningError, ConflictError
from storekeeper.ledger.locks import migration_lock
from storekeeper.migrations import apply, connection, plan, rollback
from storekeeper.migrations.online import retrying
from storekeeper.servers import RunningStack

Opened = Callable[..., Platform]
Start = Callable[[str], subprocess.Popen[str]]

#: What a first migration of the lab does.
STEPS = [*(f"storekeeper_000{number}" for number in range(1, 6)), "lab_0001"]
STEPS += [*(f"storekeeper_000{number}" for number in range(1, 6)), "partitions", "catalogue"]

PROGRAM = """
from storekeeper import Catalog, Domain, connect
from storekeeper.migrations import apply
with connect(catalog=Catalog((Domain("lab", revisions="lab_revisions"),)), stores=("postgres", "mongo")) as platform:
    print(*(step.target for step in apply(platform).steps), flush=True)
"""


@pytest.fixture
def start(lab: Catalog, tmp_path: Path, stack: RunningStack, mongo_prefix: str, postgres_url: str) -> Iterator[Start]:
    """Starts a migration of the lab in a process of its own, which stays in its transaction for so many seconds."""
    processes: list[subprocess.Popen[str]] = []

    def started(seconds: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "LAB_SECONDS": seconds,
            "STOREKEEPER_POSTGRES_URL": postgres_url,
            "STOREKEEPER_TIMESCALE_URL": postgres_url,
            "STOREKEEPER_MONGO_URL": stack.urls.mongo,
            "STOREKEEPER_MONGO_DATABASE": mongo_prefix,
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                env=environment,
                cwd=tmp_path,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def until_within(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "within\n"


def test_two_at_once_queue_up(start: Start) -> None:
    first, second = start("1"), start("1")
    told = sorted((process.communicate(timeout=150), process.returncode) for process in (first, second))
    assert [code for _, code in told] == [0, 0], told
    outputs = sorted(out for (out, _), _ in told)
    assert outputs[0] == "\n", "the one that came second found nothing to do"
    assert outputs[1].splitlines() == ["within", " ".join(STEPS)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_next_one_goes_on(
    start: Start, opened: Opened, lab: Catalog, postgres_url: str, how: signal.Signals
) -> None:
    process = start("60")
    until_within(process)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        # the server notices a killed client when it next writes to it: end what it still runs, as time would
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'storekeeper migrate' AND datname = current_database()"
        )
        assert connection.execute("SELECT to_regclass('lab.things')").fetchone() == (None,)
    platform = opened(postgres_url, catalog=lab)
    left = [step.target for step in plan(platform).todo]
    assert left == STEPS[STEPS.index("lab_0001") :]
    assert [step.target for step in apply(platform).steps] == left
    assert plan(platform).steps == ()


def test_a_revision_waits_for_a_table_that_is_used(
    opened: Opened, lab: Catalog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(retrying, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(retrying, "ATTEMPTS", 5)
    platform = opened(postgres_url, catalog=lab)
    apply(platform)
    with psycopg.connect(postgres_url) as reader:
        reader.execute("SELECT FROM lab.things")
        with pytest.raises(ConflictError) as raised:
            rollback(platform, "lab")
        assert "lab_0001" in raised.value.target
        leave = threading.Timer(0.3, reader.rollback)
        leave.start()
        assert rollback(platform, "lab") == ("postgres: lab_0001",), "tried again until it got the lock"
        leave.join()


def test_a_migration_that_never_ends_is_told_of(
    opened: Opened, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "QUEUE_SECONDS", 0.2)
    lock = migration_lock("timescale")
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s::int, %s::int)", (lock.namespace, lock.key))
        began = time.monotonic()
        with pytest.raises(AlreadyRunningError, match="migrate timescale"):
            apply(opened(postgres_url))
        assert time.monotonic() - began < 10
    apply(opened(postgres_url))
