"""Whoever dies, however he dies: no process and no run folder stays, and the next start goes on with the data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from storekeeper.errors import NotUpError, ServerError
from storekeeper.servers import StackState, detach_stack, read_stack, running_stack, start_stack, stop_stack
from storekeeper.servers.layout import Layout
from storekeeper.servers.state import is_locked

pytestmark = pytest.mark.faults

_FOREGROUND = """
import sys
from pathlib import Path
from storekeeper.servers import run_stack
run_stack(Path(sys.argv[1]), stores=sys.argv[2].split(","), on_ready=lambda stack: print("ready", flush=True))
print("down", flush=True)
"""


@contextmanager
def _foreground(directory: Path, stores: str, *, ready: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, in a session of its own, that runs a stack in its foreground."""
    argv = [sys.executable, "-c", _FOREGROUND, str(directory), stores]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            if ready:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def _until(fact: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def _all_gone(directory: Path) -> bool:
    return not any(map(is_locked, Layout(directory).locks))


def _up(directory: Path) -> StackState:
    state = read_stack(directory)
    assert state is not None
    return state


def test_when_the_starter_is_killed_the_servers_go_in_good_order(tmp_path: Path) -> None:
    with _foreground(tmp_path, "postgres,redis") as starter:
        state = _up(tmp_path)
        starter.kill()
        _until(lambda: _all_gone(tmp_path), 10)
    assert state.run_folder is not None
    assert not state.run_folder.exists()
    assert not Layout(tmp_path).run_file.exists()
    log = Layout(tmp_path).supervisor_log.read_text()
    assert f"process {starter.pid}, which started this stack, is gone" in log
    assert "stopped postgres by SIGINT" in log


@pytest.fixture
def own_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for run folders in which no other test's stack sweeps; short, as the path of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


def test_when_the_supervisor_is_killed_the_kernel_takes_the_servers_and_the_next_start_sweeps(
    tmp_path: Path, own_runtime: Path
) -> None:
    first = detach_stack(tmp_path)
    with psycopg.connect(first.urls.postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    os.kill(first.pid, signal.SIGKILL)
    _until(lambda: _all_gone(tmp_path), 5)
    for server in first.servers:
        assert not Path(f"/proc/{server.pid}/exe").exists()
    assert first.run_folder is not None
    assert first.run_folder.parent == own_runtime
    assert first.run_folder.exists(), "nobody was left to remove it"
    assert read_stack(tmp_path) is None
    with pytest.raises(NotUpError):
        stop_stack(tmp_path)
    with running_stack(tmp_path, stores=("postgres", "redis")) as second:
        assert not first.run_folder.exists()
        with psycopg.connect(second.urls.postgres) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_when_starter_and_supervisor_are_killed_together_nothing_stays(tmp_path: Path) -> None:
    with _foreground(tmp_path, "redis") as starter:
        state = _up(tmp_path)
        for pid in (starter.pid, state.pid):
            os.kill(pid, signal.SIGKILL)
        _until(lambda: _all_gone(tmp_path), 5)
    with running_stack(tmp_path, stores=("redis",)):
        assert state.run_folder is not None
        assert not state.run_folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_foreground_stops_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    with _foreground(tmp_path, "redis") as starter:
        state = _up(tmp_path)
        os.killpg(starter.pid, number)  # as a terminal does: to the whole group
        assert starter.wait(timeout=10) == 0
        assert starter.stdout is not None
        assert starter.stdout.read() == "down\n"
    assert _all_gone(tmp_path)
    assert state.run_folder is not None
    assert not state.run_folder.exists()


def _started_postgres(directory: Path) -> bool:
    return is_locked(Layout(directory).lock("postgres"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_start_that_is_interrupted_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, number: signal.Signals
) -> None:
    with _foreground(tmp_path, "postgres,redis", ready=False) as starter:
        _until(lambda: _started_postgres(tmp_path), 10)
        starter.send_signal(number)
        starter.wait(timeout=20)
    _until(lambda: _all_gone(tmp_path), 20)
    assert not Layout(tmp_path).run_file.exists()
    assert not Layout(tmp_path).data("postgres").exists(), "a half-made cluster has no name"
    with (
        running_stack(tmp_path, stores=("postgres",)) as stack,
        psycopg.connect(stack.urls.postgres) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_supervisor_killed_in_the_middle_of_initdb_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with _foreground(tmp_path, "postgres", ready=False):
        _until(lambda: _started_postgres(tmp_path), 10)
        pid = int(Layout(tmp_path).run_file.read_text().partition('"pid": ')[2].partition(",")[0])
        os.kill(pid, signal.SIGKILL)
        _until(lambda: _all_gone(tmp_path), 10)
    with running_stack(tmp_path, stores=("postgres",)):
        assert not Layout(tmp_path).partial("postgres").exists()


def test_a_stack_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    with _foreground(tmp_path, "postgres", ready=False) as starter:
        _until(lambda: _started_postgres(tmp_path), 10)
        stop_stack(tmp_path)
        assert _all_gone(tmp_path)
        assert starter.wait(timeout=10) == 1


def test_a_server_that_dies_comes_back_at_the_same_url(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        for server in stack.state.servers:
            os.kill(server.pid, signal.SIGKILL)
        old = {server.name: server.pid for server in stack.state.servers}

        def all_new() -> bool:
            state = read_stack(tmp_path)
            return state is not None and all(old[server.name] != server.pid for server in state.servers)

        _until(all_new, 15)
        assert _up(tmp_path).urls == stack.urls
        with psycopg.connect(stack.urls.postgres) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with redis.Redis.from_url(stack.urls.redis) as client:
            assert client.ping()
    assert "redis (process" in Layout(tmp_path).supervisor_log.read_text()


def test_a_server_that_does_not_stay_up_takes_the_stack_down_with_the_reason(tmp_path: Path) -> None:
    stack = start_stack(tmp_path, stores=("redis",))
    killed: set[int] = set()

    def killed_again() -> bool:
        state = read_stack(tmp_path)
        if state is None:
            return True
        for server in state.servers:
            if server.pid not in killed:
                os.kill(server.pid, signal.SIGKILL)
                killed.add(server.pid)
        return False

    _until(killed_again, 20)
    with pytest.raises(ServerError, match=r"(?s)went down by itself.*redis: it does not stay up.*SIGKILL"):
        stack.wait(timeout=10)
    assert len(killed) == 4
    assert _all_gone(tmp_path)
    assert stack.state.run_folder is not None
    assert not stack.state.run_folder.exists()


def test_a_stack_whose_directory_is_removed_goes_down(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    stack = start_stack(directory, stores=("redis",))
    shutil.rmtree(directory)
    assert stack.wait(timeout=20)
    assert stack.state.run_folder is not None
    assert not stack.state.run_folder.exists()
