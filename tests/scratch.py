"""Runs pytest with its temporary files where they cost least: `python tests/scratch.py [arguments of pytest]`.

A test's database is a thousand small files, made and removed again: in memory (/dev/shm) that takes a fifth of the
time. Where memory is short, or may not hold what is executed, they go below the repository. Either way the folder is
gone afterwards; what a run that was killed left behind, the next one sweeps.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
#: Bytes that must be free there: two processes' servers, their logs, and what tests copy.
ROOM = 6 * 2**30
PREFIX = "storekeeper-tests-"


def main(arguments: list[str]) -> int:
    home = _home()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
    try:
        pytest = subprocess.Popen([sys.executable, "-m", "pytest", f"--basetemp={folder / 'tmp'}", *arguments])
        signal.signal(signal.SIGTERM, lambda number, _: pytest.send_signal(number))
        while True:
            try:
                return pytest.wait()
            except KeyboardInterrupt:
                continue  # it was meant for pytest, which has it too, and ends by itself
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _home() -> Path:
    """The folder for the run's own, without what dead runs left in it."""
    home = MEMORY if _holds() else Path(".tests").absolute()
    home.mkdir(exist_ok=True)
    for left in home.glob(f"{PREFIX}*"):
        if left.owner() == _me() and not _in_use(left):
            shutil.rmtree(left, ignore_errors=True)
    return home


def _in_use(folder: Path) -> bool:
    """Whether it is named by the command line of a process: pytest's, or a server's."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if bytes(folder) in process.read_bytes():
                return True
        except OSError:
            continue  # it has ended meanwhile
    return False


def _holds() -> bool:
    """Whether there is room in memory, for files that can be executed."""
    try:
        room = os.statvfs(MEMORY)
    except OSError:
        return False
    if room.f_bavail * room.f_frsize < ROOM or room.f_flag & os.ST_NOEXEC or not os.access(MEMORY, os.W_OK):
        return False
    available = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(available.split()[1]) * 1024 > ROOM


def _me() -> str:
    return Path("/proc/self").owner()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
