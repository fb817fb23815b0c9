"""Own child processes: started, stopped, gone with their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import TypeVar

import pytest

from storekeeper.errors import ServerStartError
from storekeeper.servers import launcher
from storekeeper.servers.launcher import Child, Command
from storekeeper.servers.state import is_locked
from storekeeper.servers.steps import Steps, by_turns

Result = TypeVar("Result")


def _run(work: Steps[Result]) -> Result:
    return by_turns([work])[0]


def _until(fact: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str], Command]:
    def make(script: str) -> Command:
        return Command(
            name="shell",
            argv=["/bin/sh", "-c", script],
            environment={"PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
            log=tmp_path / "shell.log",
            lock=tmp_path / "shell.lock",
            death_signal=SIGKILL,
        )

    return make


def _started(command: Command) -> Child:
    return _run(launcher.launch(command))


def test_a_command_that_fails_says_so_with_the_end_of_its_own_log(command: Callable[[str], Command]) -> None:
    command("").log.write_text("of an earlier run\n")
    child = _started(command("seq 30; exit 3"))
    with pytest.raises(ServerStartError, match="exit code 3") as caught:
        _run(launcher.finish(child, seconds=10))
    text = str(caught.value)
    assert "  | 30" in text
    assert "  | 10\n" not in text
    assert "earlier" not in text


def test_a_command_that_takes_too_long_is_gone_when_that_is_said(command: Callable[[str], Command]) -> None:
    child = _started(command("sleep 60 & sleep 60"))
    with pytest.raises(ServerStartError, match="did not end within 0 s"):
        _run(launcher.finish(child, seconds=0.1))
    _until(lambda: not is_locked(child.command.lock))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("trap 'exit 0' INT; echo up; while :; do sleep 0.05; done", SIGINT),
        ("trap '' INT; trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done", SIGTERM),
        ("trap '' INT TERM; echo up; while :; do sleep 0.05; done", SIGKILL),
    ],
)
def test_the_ladder_ends_with_the_signal_that_helps(
    command: Callable[[str], Command], script: str, expected: Signals
) -> None:
    child = _started(command(script))
    _until(lambda: "up" in child.tail())
    assert _run(launcher.stop(child, ((SIGINT, 0.4), (SIGTERM, 0.4)))) is expected
    assert child.exit_code() is not None
    assert _run(launcher.stop(child, ((SIGINT, 0.4),))) is None
    _until(lambda: not is_locked(child.command.lock))


def test_a_second_start_waits_for_what_an_earlier_run_left(
    command: Callable[[str], Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = _started(command("setsid sleep 1 & exit 0"))
    _until(lambda: leftover.exit_code() is not None)
    assert is_locked(leftover.command.lock)
    begun = time.monotonic()
    again = _started(command("exit 0"))
    assert time.monotonic() - begun > 0.5
    _run(launcher.finish(again, seconds=10))
    stubborn = _started(command("exec sleep 60"))
    monkeypatch.setattr(launcher, "_LEFTOVER_SECONDS", 0.1)
    with pytest.raises(ServerStartError, match="earlier run are still at work"):
        _started(command("exit 0"))
    launcher.kill(stubborn)


def test_a_child_has_a_session_of_its_own_and_no_terminal_input(command: Callable[[str], Command]) -> None:
    child = _started(command("readlink /proc/self/fd/0; exec sleep 60"))
    _until(lambda: "/dev/null" in child.tail())
    assert os.getsid(child.pid) == child.pid
    launcher.kill(child)


def test_a_program_that_is_not_there_is_said(tmp_path: Path, command: Callable[[str], Command]) -> None:
    missing = Command(
        "gone", [str(tmp_path / "gone")], {}, tmp_path, tmp_path / "gone.log", tmp_path / "gone.lock", SIGKILL
    )
    child = _started(missing)
    with pytest.raises(ServerStartError, match="No such file"):
        _run(launcher.finish(child, seconds=10))


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    needed = (tmp_path / "nowhere",)
    argv = launcher.shim_argv(["/bin/true"], death_signal=SIGKILL, identity="same", needed=needed)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 126
    assert "nowhere cannot be reached or written" in done.stderr


def test_a_child_whose_parent_died_before_it_listened_does_not_start(tmp_path: Path) -> None:
    argv = launcher.shim_argv(
        ["/bin/touch", str(tmp_path / "started")], death_signal=SIGKILL, identity="same", needed=()
    )
    orphaned = [*argv[:4], "1", *argv[5:]]  # process 1 is not its parent: as if that had died meanwhile
    done = subprocess.run(orphaned, capture_output=True, timeout=10, check=False)
    assert done.returncode == 126
    assert not (tmp_path / "started").exists()


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "from signal import SIGKILL\n"
        "from storekeeper.servers.launcher import shim_argv\n"
        "argv = shim_argv(['/bin/sleep', '60'], death_signal=SIGKILL, identity='same', needed=())\n"
        "print(subprocess.Popen(argv, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        comm = Path(f"/proc/{child}/comm")
        _until(lambda: comm.read_text().strip() == "sleep")
        parent.kill()
    stat = Path(f"/proc/{child}/stat")
    _until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX")


def test_a_large_log_is_put_aside_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_LARGEST_LOG", 10)
    log = tmp_path / "x.log"
    launcher.rotate(log)
    log.write_text("0123456789")
    launcher.rotate(log)
    assert log.exists()
    with log.open("ab", buffering=0) as server:
        server.write(b"a")
        launcher.rotate(log)
        server.write(b"next")
    assert log.read_text() == "next", "a server that goes on writing goes on at the new end"
    assert (tmp_path / "x.log.1").read_text() == "0123456789a"
