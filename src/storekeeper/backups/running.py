"""Runs a server's tool to its end: with a deadline, without secrets on its command line, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storekeeper.backups import guard
from storekeeper.backups.tools import Tool
from storekeeper.errors import BackupError

_TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which everything must be done, on the clock that only runs forward."""

    moment: float

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds that are left; not below zero."""
        return max(0.0, self.moment - time.monotonic())

    def check(self, *, target: str) -> None:
        """Raises BackupError once the moment has passed."""
        if not self.left():
            raise out_of_time(target)


@dataclass(frozen=True, slots=True)
class Errand:
    """In what circumstances tools run for one backup. `inherit` are descriptors that every process of theirs holds."""

    target: str
    deadline: Deadline
    inherit: tuple[int, ...] = ()


def run(tool: Tool, arguments: Sequence[str], errand: Errand, *, environment: Mapping[str, str] | None = None) -> str:
    """What the tool printed. Raises BackupError, with the end of its complaints, where it fails or takes too long.

    `environment` is added to this process' own. When this returns, or raises, or this process dies in whatever way, the
    tool and all that it started are gone.
    """
    # The guard dies with the thread that starts it; this one waits for it.
    argv = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(tool.path), tool.called, *arguments]
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
        cwd=Path("/"),
        pass_fds=errand.inherit,
        start_new_session=True,  # a Ctrl-C in the terminal reaches us alone, and we end the tool
    ) as process:
        try:
            printed, complaints = process.communicate(timeout=errand.deadline.left())
        except subprocess.TimeoutExpired as error:
            raise out_of_time(errand.target) from error
        finally:
            _end_group(process)
    if process.returncode != 0:
        raise BackupError(
            f"{tool.name} {tool.version} ended with {process.returncode}: {tail(complaints) or tail(printed)}",
            operation="back up",
            target=errand.target,
        )
    return printed.decode(errors="replace")


def tail(output: bytes) -> str:
    """The last lines of what a program said."""
    return "\n".join(output.decode(errors="replace").strip().splitlines()[-_TAIL_LINES:])


def out_of_time(target: str) -> BackupError:
    return BackupError(
        "it took longer than it may", operation="back up", target=target, hint="see what slows it, or allow more time"
    )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
