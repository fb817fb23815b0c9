"""How large PostgreSQL may grow on this machine: a pure function of memory and processors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Machine:
    """What the servers may use together."""

    memory_bytes: int
    processors: int


def this_machine() -> Machine:
    """The memory and the processors that this process may use, a container's limit included."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in _CGROUP_LIMITS:
        text = limit.read_text().strip() if limit.is_file() else ""
        if text.isdigit():
            memory = min(memory, int(text))
    return Machine(memory_bytes=memory, processors=len(os.sched_getaffinity(0)))


def postgres_sizes(machine: Machine) -> dict[str, str]:
    """Settings of PostgreSQL that depend on the machine: modest, since two other servers and the user's own work share
    it.
    """
    memory = machine.memory_bytes // MIB
    processors = max(1, machine.processors)
    return {
        "max_connections": "100",
        "shared_buffers": _megabytes(memory // 4, least=32, most=512),
        "effective_cache_size": _megabytes(memory // 2, least=64, most=64 * 1024),
        "work_mem": _megabytes(memory // 256, least=4, most=32),
        "maintenance_work_mem": _megabytes(memory // 16, least=32, most=256),
        "max_wal_size": _megabytes(memory // 4, least=256, most=2048),
        "min_wal_size": "80MB",
        "max_worker_processes": str(max(8, processors)),
        "max_parallel_workers": str(processors),
        "max_parallel_workers_per_gather": str(min(4, processors // 2)),
        "max_parallel_maintenance_workers": str(min(4, processors // 2)),
    }


def _megabytes(wanted: int, *, least: int, most: int) -> str:
    return f"{max(least, min(most, wanted))}MB"
