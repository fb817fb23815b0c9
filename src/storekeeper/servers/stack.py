"""Stacks as their users see them: up for the length of a block or detached, found again, and taken down."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storekeeper import errors
from storekeeper.errors import NotUpError, ServerError, ServerStartError
from storekeeper.servers.launcher import log_tail, rotate, with_tail
from storekeeper.servers.layout import Layout
from storekeeper.servers.recipes import SERVERS
from storekeeper.servers.state import READY, StackState, StackUrls, is_locked, recorded_state

STOP_SECONDS = 90.0
_POLL_SECONDS = 0.03


class _AskedToStopError(Exception):
    """A signal asked this process to end."""


class RunningStack:
    """A stack that lives as long as this process:

    `stop()` ends it in good order, and so does the end of the process, however it comes.
    """

    def __init__(self, state: StackState, supervisor: subprocess.Popen[bytes], log_start: int) -> None:
        self.state = state
        self._supervisor = supervisor
        self._log_start = log_start
        self._owner = os.getpid()

    @property
    def directory(self) -> Path:
        return self.state.directory

    @property
    def urls(self) -> StackUrls:
        return self.state.urls

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the stack to end.

        Returns False after `timeout` seconds. Raises ServerError where it ended because a server did not stay up.
        """
        try:
            code = self._supervisor.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        if code != 0:
            log = Layout(self.directory).supervisor_log
            cause = with_tail("the stack went down by itself", log, log_tail(log, since=self._log_start))
            raise ServerError(cause, operation="keep up the stack in", target=str(self.directory))
        return True

    def stop(self) -> None:
        """Stops the servers, and returns when they are gone.

        Does nothing when they are gone already, or in a forked child.
        """
        if os.getpid() == self._owner:
            _end(self._supervisor)


def start_stack(directory: Path, *, stores: Sequence[str] = SERVERS) -> RunningStack:
    """Starts a stack that belongs to this process, and returns when every server answers.

    Raises AlreadyUpError, MissingBinaryError, DataVersionError or ServerStartError; nothing is left running then. May
    be called in any thread.
    """
    supervisor, log_start = _start(directory, stores, parent=os.getpid())
    return RunningStack(_ready_state(directory), supervisor, log_start)


@contextmanager
def running_stack(directory: Path, *, stores: Sequence[str] = SERVERS) -> Iterator[RunningStack]:
    """A stack for the length of a block. See start_stack.

    ```
    with running_stack(Path(".storekeeper")) as stack:
        psycopg.connect(stack.urls.postgres)
    ```
    """
    stack = start_stack(directory, stores=stores)
    try:
        yield stack
    finally:
        stack.stop()


def run_stack(
    directory: Path, *, stores: Sequence[str] = SERVERS, on_ready: Callable[[RunningStack], None] = lambda _: None
) -> None:
    """A stack in the foreground: up until SIGINT, SIGTERM or SIGHUP, and down in good order when this returns.

    For a process that has nothing else to do; must be called in its main thread. Raises ServerError where a server does
    not stay up, and what start_stack raises.
    """

    def asked(_number: int, _frame: object) -> None:
        raise _AskedToStopError

    previous = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with running_stack(directory, stores=stores) as stack:
            on_ready(stack)
            stack.wait()
    except _AskedToStopError:
        return
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def detach_stack(directory: Path, *, stores: Sequence[str] = SERVERS) -> StackState:
    """Starts a stack that outlives this process, and returns when every server answers.

    Raises what start_stack raises.
    """
    _start(directory, stores, parent=None)
    return _ready_state(directory)


def read_stack(directory: Path) -> StackState | None:
    """The stack that is up on a directory. None where there is none, or one that is not ready, or not any more."""
    state = living_stack(directory)
    return state if state is not None and state.phase == READY else None


def stop_stack(directory: Path, *, seconds: float = STOP_SECONDS) -> None:
    """Takes down the stack on a directory, also one that is starting, and returns when all of its processes are gone.

    Raises NotUpError where none runs. After `seconds` the supervisor is killed, and the kernel takes the servers with
    it.
    """
    directory = directory.absolute()
    layout = Layout(directory)
    state = living_stack(directory)
    if state is None:
        raise NotUpError(operation="stop", target=str(directory), hint="start one with `storekeeper up`")
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10.0)):
        if not _send(state, number):
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not state.process.is_alive() and not any(map(is_locked, layout.locks)):
                return
            time.sleep(_POLL_SECONDS)
    raise ServerError(f"process {state.pid} does not end", operation="stop", target=str(directory))


def living_stack(directory: Path) -> StackState | None:
    """What is recorded of a stack whose supervisor is alive."""
    layout = Layout(directory.absolute())
    if not is_locked(layout.stack_lock):
        return None
    state = recorded_state(layout.directory)
    # A stack that is just starting may not have replaced what a dead run left.
    return state if state is not None and state.process.is_alive() else None


def _ready_state(directory: Path) -> StackState:
    state = read_stack(directory)
    if state is None:
        raise ServerStartError(
            "it went down again at once",
            operation="start a stack in",
            target=str(directory),
            hint="see its logs folder",
        )
    return state


def _start(directory: Path, servers: Sequence[str], *, parent: int | None) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a supervisor and waits for what it reports."""
    unknown = [server for server in servers if server not in SERVERS]
    if unknown or not servers:
        raise ServerStartError(
            f"there are {', '.join(SERVERS)}, not {unknown}", operation="start a stack in", target=str(directory)
        )
    directory = directory.absolute()
    layout = Layout(directory)
    argv = [
        sys.executable,
        "-P",
        "-m",
        "storekeeper.servers.supervisor",
        str(directory),
        "--servers",
        ",".join(servers),
    ]
    if (foreign := layout.foreign) is not None:
        raise ServerStartError(
            f"it holds {foreign}, which is no stack's",
            operation="start a stack in",
            target=str(directory),
            hint="give a directory of its own, new or empty",
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        layout.logs.mkdir(mode=0o700, exist_ok=True)
        if not is_locked(layout.stack_lock):
            rotate(layout.supervisor_log)
        heard, told = os.pipe()
        with layout.supervisor_log.open("ab") as log, os.fdopen(heard, "rb") as report:
            log_start = log.tell()
            try:
                process = subprocess.Popen(
                    [*argv, "--report", str(told), *(("--parent", str(parent)) if parent is not None else ())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    env=_supervisor_environment(),
                    pass_fds=(told,),
                    start_new_session=True,
                )
            finally:
                os.close(told)
            try:
                message = report.read()
                if parent is None:
                    process.wait(timeout=10)  # the one that detached itself from it; the supervisor is its child
            except BaseException:
                # Interrupted while it was starting: nothing of it may stay.
                _abandon(process, report, layout, detached=parent is None)
                raise
    except OSError as error:
        raise ServerStartError(
            error.strerror or str(error),
            operation="start a stack in",
            target=str(directory),
            hint="name a directory that can be made, and written to: --dir DIR",
        ) from error
    if not message:
        process.wait(timeout=10)
        cause = with_tail(
            "the supervisor ended without a word",
            layout.supervisor_log,
            log_tail(layout.supervisor_log, since=log_start),
        )
        raise ServerStartError(cause, operation="start a stack in", target=str(directory))
    report_of = json.loads(message)
    if "error" in report_of:
        process.wait(timeout=10)
        kind = getattr(errors, report_of["error"])
        cause = report_of["arguments"].pop("cause")
        raise kind(cause, **report_of["arguments"])
    return process, log_start


def _abandon(process: subprocess.Popen[bytes], report: BinaryIO, layout: Layout, *, detached: bool) -> None:
    """Ends a supervisor that is still starting."""
    _end(process)
    if not detached:
        return
    deadline = time.monotonic() + STOP_SECONDS
    # A detached one may not have written its name yet. Its end of the pipe is closed when it is gone, or up.
    while time.monotonic() < deadline:
        try:
            stop_stack(layout.directory)
        except NotUpError:
            if select.select([report], [], [], _POLL_SECONDS)[0]:
                return


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL when that does not help: the kernel ends the servers with their supervisor."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)


def _send(state: StackState, number: signal.Signals) -> bool:
    """Signals the supervisor, never a process that got its id later. Returns False where it is gone."""
    try:
        handle = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return False
    try:
        if not state.process.is_alive():
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise ServerError(
            f"process {state.pid} belongs to another user",
            operation="stop",
            target=str(state.directory),
            hint="stop it as the user who started it",
        ) from error
    finally:
        os.close(handle)
    return True


def _supervisor_environment() -> dict[str, str]:
    """This process' environment without what would redirect the readiness queries (PG*) or is none of a supervisor's
    business (our settings).
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "STOREKEEPER_"))}
    package = Path(errors.__file__).resolve().parent.parent
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, (str(package), kept.get("PYTHONPATH"))))}
