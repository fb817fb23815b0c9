"""What the kernel says of processes: facts from /proc, read and never guessed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process for ever: an id is given again to another process, an id with its start time and boot is not."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The identity of a process that runs now; None if there is none, or only its zombie."""
        fields = _stat(pid)
        if fields is None or fields[0] in "ZX":
            return None
        return cls(pid, int(fields[19]), (_PROC / "sys/kernel/random/boot_id").read_text().strip())

    def is_alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self


def is_postmaster_of(pid: int, data: Path) -> bool:
    """Whether a process is a PostgreSQL server (it stands in its data directory) on `data`."""
    try:
        return (_PROC / str(pid) / "cwd").samefile(data) and (
            _PROC / str(pid) / "comm"
        ).read_text().strip() == "postgres"
    except OSError:
        return False


def listening_port(pid: int) -> int | None:
    """The TCP port of IPv4 on which a process of ours listens; None as long as there is none."""
    try:
        inodes = {
            target[8:-1]
            for link in (_PROC / str(pid) / "fd").iterdir()
            if (target := _link(link)).startswith("socket:[")
        }
        lines = (_PROC / str(pid) / "net/tcp").read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTEN and fields[9] in inodes:
            return int(fields[1].rpartition(":")[2], 16)
    return None


def tree(root: int) -> tuple[int, ...]:
    """A process and all of its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None:
            children[int(fields[1])].append(pid)
    found = [root]
    for pid in found:  # grows while it is walked
        found.extend(children[pid])
    return tuple(found)


def memory_bytes(pids: tuple[int, ...]) -> int:
    """The memory of processes together, shared pages counted once (proportional set size); resident size where that may
    not be read.
    """
    return sum(map(_memory_bytes, pids))


def _memory_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except OSError:
        pass
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # gone meanwhile


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (the name before it may contain anything)."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
