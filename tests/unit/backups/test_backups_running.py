"""Tools are run to their end: with a deadline, with what they said, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storekeeper.backups import tools
from storekeeper.backups.cluster import connection_arguments
from storekeeper.backups.running import Deadline, Errand, run
from storekeeper.backups.tools import Tool, postgres_tool, postgres_tool_of, rdb_checker
from storekeeper.errors import BackupError, MissingBinaryError

SHELL = Tool((1,), "1", Path("/bin/sh"), "sh")


def errand(seconds: float = 20.0) -> Errand:
    return Errand("server/label", Deadline.within(seconds))


def living(marker: str) -> list[int]:
    """The processes that have the marker on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # gone meanwhile
    return found


def gone(marker: str, *, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while living(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_returns_what_was_printed_and_adds_to_the_environment() -> None:
    assert run(SHELL, ["-c", "echo $PGPASSWORD"], errand(), environment={"PGPASSWORD": "secret"}) == "secret\n"


def test_a_failure_carries_the_end_of_what_was_said() -> None:
    with pytest.raises(BackupError, match="sh 1 ended with 3") as caught:
        run(SHELL, ["-c", "seq 100 >&2; echo the reason >&2; exit 3"], errand())
    assert caught.value.cause.endswith("100\nthe reason")
    assert "\n50\n" not in caught.value.cause


def test_a_program_that_is_killed_fails_with_its_children() -> None:
    marker = f"31{os.getpid()}0"
    with pytest.raises(BackupError, match="SIGSEGV"):
        run(SHELL, ["-c", f"sleep {marker} & kill -SEGV $$"], errand())
    assert gone(marker)


def test_a_program_that_is_not_there_fails() -> None:
    with pytest.raises(BackupError, match="cannot be run"):
        run(Tool((1,), "1", Path("/nowhere/tool"), "tool"), [], errand())


def test_a_deadline_ends_it_with_its_children() -> None:
    marker = f"32{os.getpid()}0"
    begun = time.monotonic()
    with pytest.raises(BackupError, match="longer than it may"):
        run(SHELL, ["-c", f"sleep {marker} & sleep {marker}"], errand(0.5))
    assert time.monotonic() - begun < 5
    assert gone(marker)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_dies_with_its_parent_grandchildren_included(number: signal.Signals) -> None:
    marker = f"33{os.getpid()}{int(number)}0"
    program = (
        "from pathlib import Path\n"
        "from storekeeper.backups.running import Deadline, Errand, run\n"
        "from storekeeper.backups.tools import Tool\n"
        f"run(Tool((1,), '1', Path('/bin/sh'), 'sh'), ['-c', 'sleep {marker} & sleep {marker}'],"
        " Errand('server/label', Deadline.within(60)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 20
        # the parent, the guard and the shell name the marker as well
        while len(living(f"sleep\0{marker}")) < 2:
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(number)
        parent.wait(20)
    assert gone(marker)


def test_descriptors_are_inherited_by_name_only() -> None:
    read, write = os.pipe()
    try:
        run(SHELL, ["-c", f"echo hello > /proc/self/fd/{write}"], Errand("x", Deadline.within(20), inherit=(write,)))
        assert os.read(read, 10) == b"hello\n"
        with pytest.raises(BackupError):
            run(SHELL, ["-c", f"echo hello > /proc/self/fd/{write}"], errand())
    finally:
        os.close(read)
        os.close(write)


def test_the_password_is_not_among_the_arguments() -> None:
    url = "postgresql://somebody:s%20ecret@/db?host=/sockets&port=5433&pool_size=3&sslmode=disable"
    arguments, environment = connection_arguments(url)
    assert "ecret" not in arguments
    assert environment["PGPASSWORD"] == "s ecret"
    for part in ("user=somebody", "host=/sockets", "port=5433", "dbname=db", "sslmode=disable", "connect_timeout=10"):
        assert part in arguments.split()
    assert "pool_size" not in arguments
    with pytest.raises(BackupError, match="sslpassword"):
        connection_arguments("postgresql://somebody@host/db?sslpassword=secret")


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which tools are in one folder only."""
    monkeypatch.setattr(tools, "_server_program", lambda _server: None)
    monkeypatch.setattr(tools, "_DISTRIBUTIONS", (tmp_path / "postgresql",))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def make_tool(path: Path, said: str, *, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_the_newest_tool_is_taken_and_an_older_one_than_the_server_refused(only_path: Path) -> None:
    with pytest.raises(MissingBinaryError, match="there is no pg_dump"):
        postgres_tool("pg_dump", major=15)
    make_tool(only_path / "bin" / "pg_dump", "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)")
    newest = make_tool(only_path / "postgresql" / "17" / "bin" / "pg_dump", "pg_dump (PostgreSQL) 17beta1")
    make_tool(only_path / "postgresql" / "16" / "bin" / "pg_dump", "pg_dump (PostgreSQL) 16.9")
    make_tool(only_path / "postgresql" / "99" / "bin" / "pg_dump", "it does not run", code=1)
    assert postgres_tool("pg_dump", major=15).path == newest
    with pytest.raises(MissingBinaryError) as caught:
        postgres_tool("pg_dump", major=18)
    assert str(newest) in caught.value.cause
    assert "18 or newer" in caught.value.hint
    exact = postgres_tool_of("pg_dump", major=15)
    assert exact is not None
    assert exact.version == "15.18"
    assert postgres_tool_of("pg_dump", major=14) is None


def test_the_rdb_checker_is_of_the_servers_engine_where_there_is_one(only_path: Path) -> None:
    with pytest.raises(MissingBinaryError) as caught:
        rdb_checker(engine="redis", version="7.2.0")
    assert "storekeeper[embedded]" in caught.value.hint
    make_tool(only_path / "bin" / "valkey-check-rdb", "valkey-check-rdb v=8.1.8 sha=00000000:1 bits=64")
    assert rdb_checker(engine="redis", version="7.2.0").name == "valkey-check-rdb"
    make_tool(only_path / "bin" / "redis-check-rdb", "redis-check-rdb 7.0.15 (git:00000000:1)")
    assert rdb_checker(engine="redis", version="7.2.0").version == "7.0.15"
    assert rdb_checker(engine="valkey", version="8.0.0").version == "8.1.8"
