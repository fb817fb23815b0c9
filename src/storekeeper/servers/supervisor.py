"""The parent of the servers: a process of its own, in a session of its own, that holds none of its caller's streams.

    python -m storekeeper.servers.supervisor DIRECTORY --servers postgres,redis,mongo --report FD [--parent PID]

It brings the servers up, says so (or why not) on the descriptor FD, watches them, and takes them down on SIGTERM,
SIGINT or SIGHUP; with --parent also when that process is gone, however it went. Without --parent it detaches itself
from whoever started it.

If the supervisor itself is killed, the kernel ends the servers (PR_SET_PDEATHSIG): this is why it has one thread that
starts children, and why a stack has a supervisor even in the foreground: the thread that calls `running_stack` may end
long before its process does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storekeeper.clock import SystemClock
from storekeeper.errors import ServerError, ServerStartError, StorekeeperError
from storekeeper.servers import rundir, state
from storekeeper.servers.binaries import Program, find_program
from storekeeper.servers.launcher import Child, describe_exit, rotate, stop
from storekeeper.servers.layout import Layout
from storekeeper.servers.master_key import make_master_key
from storekeeper.servers.processes import ProcessIdentity
from storekeeper.servers.recipes import RECIPES
from storekeeper.servers.rundir import RunFolder
from storekeeper.servers.startup import Running, Site, bring_up, check_data
from storekeeper.servers.state import StackLock, StackState
from storekeeper.servers.steps import Steps, by_turns

WATCH_SECONDS = 0.25
RESTARTS = 3
RESTART_WINDOW_SECONDS = 60.0
BACK_OFF_SECONDS = (0.1, 0.5, 2.0)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logging.getLogger("storekeeper.supervisor")


class StopAskedError(Exception):
    """The supervisor is to end in good order, for the reason given."""


@dataclass(slots=True)
class Attention:
    """What the supervisor listens for besides its children: signals, the life of its parent, its directory."""

    parent: int | None
    lock: StackLock | None = None
    signalled: signal.Signals | None = None
    _woken: tuple[int, int] = field(default_factory=os.pipe)

    def listen(self) -> None:
        for end in self._woken:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._woken[1], warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the end of a child wakes the watch

    def check(self) -> None:
        """Raises StopAskedError where there is a reason to stop."""
        if self.signalled is not None:
            raise StopAskedError(f"asked to by {self.signalled.name}")
        if self.parent is not None and os.getppid() != self.parent:
            raise StopAskedError(f"process {self.parent}, which started this stack, is gone")
        if self.lock is not None and not self.lock.is_in_place():
            raise StopAskedError("the directory of the stack was removed")

    def sleep(self, seconds: float) -> None:
        """Until a signal comes, or the time is over."""
        select.select([self._woken[0]], [], [], seconds)
        try:
            os.read(self._woken[0], 4096)
        except BlockingIOError:
            return

    def _note(self, number: int, _frame: object) -> None:
        self.signalled = signal.Signals(number)


class Supervisor:
    """One run of a stack, from the lock to the last removed file."""

    def __init__(self, directory: Path, servers: Sequence[str], attention: Attention) -> None:
        self._layout = Layout(directory)
        self._servers = tuple(servers)
        self._attention = attention
        self._children: list[Child] = []
        self._running: dict[str, Running] = {}
        self._restarts: dict[str, deque[float]] = {server: deque(maxlen=RESTARTS) for server in servers}
        self._lock: StackLock | None = None
        self._folder: RunFolder | None = None
        self._state: StackState | None = None

    def start(self) -> None:
        """Brings all servers up. Whatever it raises, `stop` must follow."""
        layout, now = self._layout, SystemClock().now()
        self._lock = self._attention.lock = StackLock(layout)
        previous = state.recorded_state(layout.directory)
        me = ProcessIdentity.of(os.getpid())
        if me is None:
            raise ServerError("/proc is not mounted", operation="start a stack in", target=str(layout.directory))
        self._state = StackState(layout.directory, me, state.STARTING, self._attention.parent is None, now)
        state.write_state(self._state)
        for folder in (layout.conf, layout.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        ignore = layout.directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# data and passwords of an embedded stack\n*\n")
        for swept in rundir.sweep(os.environ, recorded=previous.run_folder if previous else None):
            log.info("swept %s, left by a dead run", swept)
        programs = [find_program(server) for server in self._servers]
        for program in programs:
            check_data(program, layout)
        self._folder = rundir.make_run_folder(os.environ)
        self._record(state.STARTING)
        site = self._site()
        begun = time.monotonic()
        for running in by_turns([bring_up(program, site) for program in programs], check=self._attention.check):
            self._running[running.program.server] = running
        self._record_versions(programs)
        self._record(state.READY)
        log.info(
            "ready after %.2f s: %s",
            time.monotonic() - begun,
            ", ".join(f"{p.server} ({p.engine} {p.version})" for p in programs),
        )

    def watch(self) -> None:
        """Keeps the servers up. Ends by StopAskedError, or by ServerError when a server does not stay up."""
        while True:
            self._attention.check()
            for server, running in list(self._running.items()):
                code = running.child.exit_code()
                if code is not None:
                    self._restart(server, running, describe_exit(code))
                rotate(running.child.command.log)
            self._attention.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        """Stops what runs, and removes all that belongs to this run only."""
        try:
            if self._lock is not None and self._lock.is_in_place():
                self._record(state.STOPPING)
        except OSError:
            log.exception("the end of this run could not be recorded")  # a full disk keeps nobody from stopping
        by_turns([self._stopped(child) for child in self._children])
        if self._folder is not None:
            self._folder.remove()
        if self._state is not None:
            self._layout.run_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()

    def _restart(self, server: str, running: Running, ended: str) -> None:
        """Brings a server up again that ended by itself, each time more patiently. Raises ServerError in the end."""
        log.error("%s (process %d) ended by itself with %s", server, running.child.pid, ended)
        restarts = self._restarts[server]
        while True:
            recent = [moment for moment in restarts if time.monotonic() - moment < RESTART_WINDOW_SECONDS]
            if len(recent) >= RESTARTS:
                within = f"{RESTARTS} restarts within {RESTART_WINDOW_SECONDS:.0f} s"
                raise ServerError(f"it does not stay up in spite of {within}: {ended}", operation="run", target=server)
            self._pause(BACK_OFF_SECONDS[len(recent)])
            restarts.append(time.monotonic())
            self._children = [child for child in self._children if child.exit_code() is None]
            try:
                again = bring_up(running.program, self._site(), endpoint=running.endpoint)
                self._running[server] = by_turns([again], check=self._attention.check)[0]
            except ServerStartError as error:
                log.error("%s", error)
                ended = error.cause
                by_turns([self._stopped(child) for child in self._children if child.command.name == server])
            else:
                self._record(state.READY)
                log.info("%s is up again (process %d)", server, self._running[server].child.pid)
                return

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._attention.check()
            self._attention.sleep(left)

    def _site(self) -> Site:
        if self._folder is None:
            raise ServerError("there is no run folder yet")
        make_master_key(self._layout)
        return Site(self._layout, self._folder.path, state.passwords_of(self._layout), os.environ, self._own)

    def _own(self, child: Child) -> None:
        self._children.append(child)

    def _stopped(self, child: Child) -> Steps[None]:
        name = child.command.name
        if child.exit_code() is not None:
            return
        begun = time.monotonic()
        last = yield from stop(child, RECIPES[name].stop)
        if last is not None:
            log.info("stopped %s by %s in %.2f s", name, last.name, time.monotonic() - begun)

    def _record(self, phase: str) -> None:
        if self._state is None:
            return
        self._state = StackState(
            self._state.directory,
            self._state.process,
            phase,
            self._state.detached,
            self._state.started_at,
            self._folder.path if self._folder else None,
            tuple(running.state for running in self._running.values()),
        )
        state.write_state(self._state)

    def _record_versions(self, programs: Sequence[Program]) -> None:
        written = {
            **state.read_versions(self._layout),
            **{program.server: f"{program.engine} {program.version}" for program in programs},
        }
        state.write_private(self._layout.versions_file, json.dumps(written, indent=1) + "\n")


def supervise(directory: Path, servers: Sequence[str], *, parent: int | None, report: int) -> int:
    """A run from start to end, in the main thread. Returns the exit code."""
    attention = Attention(parent)
    attention.listen()
    supervisor = Supervisor(directory, servers, attention)
    ready = False
    failure: StorekeeperError | None = None
    target = str(directory)
    try:
        supervisor.start()
        ready = True
        if not _tell(report, {"ready": True}):
            raise StopAskedError("whoever started this stack is gone")
        supervisor.watch()
    except StopAskedError as reason:
        log.info("stopping: %s", reason)
        if not ready:
            failure = ServerStartError(
                f"stopped before it was ready: {reason}", operation="start a stack in", target=target
            )
    except StorekeeperError as error:
        failure = error
        log.error("%s", error)
    except OSError as error:
        failure = ServerStartError(str(error), operation="run a stack in", target=target)
        log.exception("stopping")
    finally:
        supervisor.stop()
    if failure is None:
        return 0
    if not ready:
        # Only now: who hears of a failure may rely on nothing being left of it.
        _tell(report, {"error": type(failure).__name__, "arguments": _arguments(failure)})
    return 1


def _arguments(error: StorekeeperError) -> dict[str, str]:
    return {"cause": error.cause, "operation": error.operation, "target": error.target, "hint": error.hint}


def _tell(report: int, message: dict[str, object]) -> bool:
    """Returns False where nobody listens any more."""
    try:
        with os.fdopen(report, "w") as pipe:
            json.dump(message, pipe)
    except BrokenPipeError:
        return False
    return True


def _detach() -> None:
    """Leaves the process that started us: it need not collect our exit code, and we are no longer the leader of a
    session.
    """
    if os.fork() > 0:
        os._exit(0)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="storekeeper.servers.supervisor")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--servers", required=True)
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--parent", type=int)
    options = parser.parse_args(arguments)
    if options.parent is None:
        _detach()
    os.umask(0o077)
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03dZ [%(process)d] %(levelname)s %(message)s",
        datefmt="%FT%T",
    )
    return supervise(options.directory, options.servers.split(","), parent=options.parent, report=options.report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
