"""Own child processes: started through the shim, stopped by a ladder of signals, with the tail of their log at hand."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from storekeeper.errors import ServerStartError
from storekeeper.servers import shim
from storekeeper.servers.steps import Steps

SAME_IDENTITY = "same"
_TAIL_LINES = 20
_TAIL_BYTES = 16 * 1024
_LEFTOVER_SECONDS = 15.0
_LARGEST_LOG = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, as whom, and where its words go.

    `lock` is a file on which the program and all that it forks hold a lock, so that it is known when the last of them
    is gone.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    log: Path
    lock: Path
    death_signal: Signals
    identity: str = SAME_IDENTITY
    needed: tuple[Path, ...] = ()


@dataclass(slots=True)
class Child:
    """A running command, in a session of its own: a Ctrl-C in the terminal does not reach it."""

    command: Command
    process: subprocess.Popen[bytes]
    log_start: int
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        return self.process.poll()

    def tail(self) -> str:
        """The last lines that this child, not an earlier one, wrote to its log."""
        return log_tail(self.command.log, since=self.log_start)

    def failure(self, cause: str, *, hint: str = "") -> ServerStartError:
        """An error that carries the end of the log."""
        return ServerStartError(
            with_tail(cause, self.command.log, self.tail()), operation="start", target=self.command.name, hint=hint
        )


def shim_argv(argv: Sequence[str], *, death_signal: Signals, identity: str, needed: Sequence[Path]) -> list[str]:
    """The command line that runs `argv` as a child which gets `death_signal` when this process is gone."""
    own = (sys.executable, "-I", "-S", shim.__file__, str(os.getpid()), str(int(death_signal)), identity)
    return [*own, *map(str, needed), "--", *argv]


def launch(command: Command) -> Steps[Child]:
    """Starts a command as soon as every process of an earlier run of it is gone. Raises ServerStartError.

    Must be called in the thread that lives longest (see steps.py).
    """
    rotate(command.log)
    lock = yield from _locked(command.name, command.lock)
    try:
        with command.log.open("ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                shim_argv(
                    command.argv, death_signal=command.death_signal, identity=command.identity, needed=command.needed
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=command.cwd,
                env=dict(command.environment),
                pass_fds=(lock,),
                start_new_session=True,
            )
    except OSError as error:
        raise ServerStartError(str(error), operation="start", target=command.name) from error
    finally:
        os.close(lock)
    return Child(command, process, log_start)


def finish(child: Child, *, seconds: float) -> Steps[None]:
    """Waits for a command that ends by itself.

    Raises ServerStartError when it fails or takes too long; it is gone then.
    """
    deadline = time.monotonic() + seconds
    try:
        while (code := child.exit_code()) is None:
            if time.monotonic() > deadline:
                raise child.failure(f"it did not end within {seconds:.0f} s")
            yield
    finally:
        kill(child)
    if code != 0:
        raise child.failure(f"it ended with {describe_exit(code)}")


def stop(child: Child, ladder: Sequence[tuple[Signals, float]]) -> Steps[Signals | None]:
    """Stops a child, by SIGKILL in the end. Returns the last signal it took, None if it was gone already."""
    taken: Signals | None = None
    for signal_number, seconds in ladder:
        if child.exit_code() is not None:
            return taken
        taken = signal_number
        child.process.send_signal(signal_number)
        deadline = time.monotonic() + seconds
        while child.exit_code() is None and time.monotonic() < deadline:
            yield
    if child.exit_code() is None:
        taken = Signals.SIGKILL
        kill(child)
    return taken


def kill(child: Child) -> None:
    """Ends a child and what it left in its session at once."""
    if child.exit_code() is not None:
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        # not in its own session yet: the kill below reaches it nevertheless
        child.process.kill()
    child.process.wait(timeout=10)


def describe_exit(code: int) -> str:
    """An exit code in words: 'exit code 1', 'signal SIGKILL'."""
    return f"signal {Signals(-code).name}" if code < 0 else f"exit code {code}"


def log_tail(log: Path, *, since: int = 0) -> str:
    """The last lines of a log, at most 20, none older than the offset `since`."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = since if since <= size else 0  # it was rotated meanwhile
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def with_tail(cause: str, log: Path, tail: str) -> str:
    """A cause with the end of a log below it."""
    if not tail:
        return f"{cause} ({log} is empty)"
    indented = "\n".join(f"  | {line}" for line in tail.splitlines())
    return f"{cause}; the end of {log}:\n{indented}"


def rotate(log: Path) -> None:
    """Moves what is in a log that has grown large to NAME.log.1, in place of what is there.

    Also while a server writes to it: it appends, so it goes on at the new end (a line of that moment may be lost).
    """
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        aside = log.with_name(f"{log.name}.1")
        shutil.copyfile(log, aside)
        aside.chmod(0o600)
        os.truncate(log, 0)


def until_unlocked(name: str, lock: Path) -> Steps[None]:
    """Waits until no process of an earlier run holds the lock. Raises ServerStartError when that takes too long."""
    os.close((yield from _locked(name, lock)))


def _locked(name: str, lock: Path) -> Steps[int]:
    """The descriptor of a lock, held once no process of an earlier run holds it any more."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    held = False
    try:
        while not held:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerStartError(
                        f"processes of an earlier run are still at work (they hold {lock})",
                        operation="start",
                        target=name,
                        hint=f"wait for them to end, or find them: fuser -v {lock}",
                    ) from None
                yield
    finally:
        if not held:
            os.close(descriptor)
    return descriptor
