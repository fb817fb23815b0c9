"""Embedded servers: PostgreSQL, Valkey and a MongoDB-protocol server as private children, in one directory.

| call | what it does |
| --- | --- |
| `with running_stack(directory) as stack:` | up for the length of the block; `stack.urls` |
| `start_stack(directory)` | the same, ended by `.stop()` |
| `run_stack(directory)` | in the foreground, until a signal asks it to stop |
| `detach_stack(directory)` | up until `stop_stack(directory)` |
| `read_stack(directory)` | the stack that is up there, with its URLs, or None |
| `stack_status(directory)` | every server: answering or not, process, memory, size |
"""

from __future__ import annotations

from storekeeper.servers.stack import (
    RunningStack,
    detach_stack,
    read_stack,
    run_stack,
    running_stack,
    start_stack,
    stop_stack,
)
from storekeeper.servers.state import ServerState, StackState, StackUrls
from storekeeper.servers.status import ServerStatus, stack_status

__all__ = [
    "RunningStack",
    "ServerState",
    "ServerStatus",
    "StackState",
    "StackUrls",
    "detach_stack",
    "read_stack",
    "run_stack",
    "running_stack",
    "stack_status",
    "start_stack",
    "stop_stack",
]
