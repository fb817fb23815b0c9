"""Runs a program that must not outlive the one that wants it, nor leave children of its own behind.

Run by its path with `python -I -S` as the leader of a session: guard.py PARENT PROGRAM ARGUMENT…

PARENT is the process id without which the program shall not live; the first ARGUMENT is the program's own name. The
kernel tells a process that its parent died, but not its grandchildren (pg_basebackup forks one that receives WAL): so
this process stands between, and takes the whole group along.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CANNOT = 126
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    parent, program, *argv = arguments
    signal.signal(signal.SIGTERM, _end_group)
    libc = ctypes.CDLL(None, use_errno=True)
    _die_with_parent(libc, signal.SIGTERM, int(parent))
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        _become(libc, guard, program, argv)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        _say(f"{argv[0]} was ended by {signal.Signals(os.WTERMSIG(status)).name}")
        # it had no chance to end its own children
        _end_group(signal.SIGTERM, None)
    return os.waitstatus_to_exitcode(status)


def _become(libc: ctypes.CDLL, guard: int, program: str, argv: list[str]) -> None:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _die_with_parent(libc, signal.SIGKILL, guard)
        os.umask(0o077)
        os.execv(program, argv)  # noqa: S606  # the point of this file
    except OSError as error:
        _say(f"{program} cannot be run: {error.strerror}")
    finally:
        os._exit(CANNOT)


def _die_with_parent(libc: ctypes.CDLL, death_signal: signal.Signals, parent: int) -> None:
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the kernel knew that we want to hear of it.
    if os.getppid() != parent:
        os._exit(CANNOT)


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())


def _end_group(_number: int, _frame: object) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
