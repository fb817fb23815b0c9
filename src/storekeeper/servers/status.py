"""How the servers of a stack are, asked of the servers and of the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from storekeeper.clock import SystemClock
from storekeeper.servers import processes, readiness
from storekeeper.servers.layout import Layout
from storekeeper.servers.recipes import SERVERS
from storekeeper.servers.stack import living_stack
from storekeeper.servers.state import READY, ServerState, read_passwords, read_versions

UP, SILENT, DOWN = "up", "not answering", "down"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server.

    `state` is up (it answered a query just now), not answering, starting, stopping or down; then it has no pid, uptime
    or memory.
    """

    name: str
    version: str
    state: str
    pid: int | None
    uptime: timedelta | None
    memory_bytes: int | None
    data_bytes: int
    endpoint: str | None
    log: Path


def stack_status(directory: Path) -> tuple[ServerStatus, ...]:
    """The servers of the stack on a directory, also of one that is down; none where there never was a stack."""
    layout = Layout(directory.absolute())
    stack = living_stack(directory)
    if stack is not None and stack.phase == READY:
        passwords = read_passwords(layout)
        return tuple(_up(server, passwords[server.name], layout) for server in stack.servers)
    versions = read_versions(layout)
    return tuple(
        ServerStatus(
            server,
            versions[server].partition(" ")[2],
            DOWN,
            None,
            None,
            None,
            disk_bytes(layout.data(server)),
            None,
            layout.log(server),
        )
        for server in SERVERS
        if server in versions
    )


def disk_bytes(tree: Path) -> int:
    """The room that a tree takes on its disk."""
    total = 0
    for parent, _, files in os.walk(tree):
        for file in files:
            try:
                total += (Path(parent) / file).lstat().st_blocks * 512
            except FileNotFoundError:
                continue  # a server removes files while they are counted
    return total


def _up(server: ServerState, password: str, layout: Layout) -> ServerStatus:
    answer = _probe(server, password)()
    return ServerStatus(
        name=server.name,
        version=server.version,
        state=UP if answer.ready else SILENT,
        pid=server.pid,
        uptime=SystemClock().now() - server.started_at,
        memory_bytes=processes.memory_bytes(processes.tree(server.pid)),
        data_bytes=disk_bytes(layout.data(server.name)),
        endpoint=server.endpoint,
        log=server.log,
    )


def _probe(server: ServerState, password: str) -> Callable[[], readiness.Answer]:
    match server.name:
        case "postgres":
            return lambda: readiness.postgres_answer(Path(server.endpoint), password)
        case "redis":
            return lambda: readiness.redis_answer(Path(server.endpoint), password)
        case _:
            return lambda: readiness.mongo_answer(int(server.endpoint.rpartition(":")[2]), password)
