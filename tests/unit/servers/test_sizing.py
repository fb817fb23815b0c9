"""Settings of PostgreSQL by memory and processors."""

from __future__ import annotations

import pytest

from storekeeper.servers.sizing import MIB, Machine, postgres_sizes, this_machine


@pytest.mark.parametrize(
    ("memory_mib", "processors", "shared_buffers", "gather"),
    [
        (64, 1, "32MB", "0"),
        (1024, 1, "256MB", "0"),
        (2048, 2, "512MB", "1"),
        (24 * 1024, 2, "512MB", "1"),
        (256 * 1024, 64, "512MB", "4"),
    ],
)
def test_sizes_follow_the_machine_within_bounds(
    memory_mib: int, processors: int, shared_buffers: str, gather: str
) -> None:
    sizes = postgres_sizes(Machine(memory_mib * MIB, processors))
    assert sizes["shared_buffers"] == shared_buffers
    assert sizes["max_parallel_workers_per_gather"] == gather
    assert int(sizes["max_wal_size"].removesuffix("MB")) >= 2 * int(sizes["min_wal_size"].removesuffix("MB"))


def test_this_machine_has_memory_and_processors() -> None:
    machine = this_machine()
    assert machine.memory_bytes > 64 * MIB
    assert machine.processors >= 1
