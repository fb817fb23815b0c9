"""Run folders: homes of the unix sockets, outside of the stack's directory because a socket's path must be short.

A run folder belongs to one supervisor, which holds a lock on a file in it. A folder whose lock is free belongs to a
dead run and is swept by whoever starts next, of the same user.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storekeeper.errors import ServerStartError

PREFIX = "storekeeper-"
_LOCK = "lock"
_LOCKLESS_GRACE_SECONDS = 60.0
_LONGEST_SOCKET = len(f"/{PREFIX}xxxxxxxx/postgres/.s.PGSQL.5432")
SOCKET_PATH_LIMIT = 107


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder of mode 0700 that exists as long as the lock `descriptor` is held."""

    path: Path
    descriptor: int

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)  # what stays behind is swept by the next start
        os.close(self.descriptor)


def run_bases(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where run folders may lie, best first: $XDG_RUNTIME_DIR, if it is this user's and short enough, and /tmp."""
    named = environment.get("XDG_RUNTIME_DIR", "")
    runtime = (Path(named),) if named and _is_usable(Path(named)) else ()
    return (*runtime, Path("/tmp"))  # noqa: S108  mkdtemp makes the folder, of mode 0700


def make_run_folder(environment: Mapping[str, str]) -> RunFolder:
    """A new run folder. Raises ServerStartError."""
    causes: list[str] = []
    for base in run_bases(environment):
        try:
            return _make(base)
        except OSError as error:
            causes.append(str(error))
    raise ServerStartError("; ".join(causes), operation="make a run folder for sockets")


def sweep(environment: Mapping[str, str], *, recorded: Path | None = None) -> tuple[Path, ...]:
    """Removes this user's run folders whose supervisor is dead, and returns them.

    `recorded` is the folder of this stack's last run, which may lie where nobody would look now.
    """
    found = {folder for base in run_bases(environment) for folder in base.glob(f"{PREFIX}*")}
    if recorded is not None and recorded.name.startswith(PREFIX):
        found.add(recorded)
    return tuple(folder for folder in sorted(found) if _swept(folder))


def _make(base: Path) -> RunFolder:
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    descriptor = -1
    try:
        # The lock is taken before its file gets its name: a sweeper never sees a lock file of a living run that is
        # free.
        unnamed = path / f"{_LOCK}.new"
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(path / _LOCK)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        shutil.rmtree(path, ignore_errors=True)
        raise
    return RunFolder(path, descriptor)


def _swept(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False  # gone meanwhile
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # of a run that is just starting and has not locked it yet, or of one that died at that very moment
        if time.time() - status.st_mtime < _LOCKLESS_GRACE_SECONDS:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    except OSError:
        return False  # a folder of that name which is none of ours
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def _is_usable(base: Path) -> bool:
    if not base.is_absolute() or len(os.fsencode(base)) + _LONGEST_SOCKET > SOCKET_PATH_LIMIT:
        return False
    try:
        status = base.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and os.access(base, os.W_OK | os.X_OK)
