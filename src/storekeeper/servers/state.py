"""What is on disk about a stack: who supervises it, its passwords, and the version of its data."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from storekeeper.errors import AlreadyUpError, NotUpError, ServerError, ServerStartError
from storekeeper.servers.layout import Layout
from storekeeper.servers.processes import ProcessIdentity
from storekeeper.servers.recipes import DATABASE, MONGO, POSTGRES, REDIS, SERVERS, USER
from storekeeper.servers.roles import ROLES, RoleName, role_name

STARTING, READY, STOPPING = "starting", "ready", "stopping"
_FORMAT = 1
_READERS_SECONDS = 0.3
_STOPPING_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class StackUrls:
    """Where the servers of a stack are reached, passwords included (and kept out of the repr).

    A server that is not in the stack has none. Of PostgreSQL, `postgres` is the administrator's, a superuser, by which
    nothing of ours works; `postgres_as` is that of a role.
    """

    _by_server: Mapping[str, str] = field(repr=False)
    _by_role: Mapping[RoleName, str] = field(default_factory=dict, repr=False)

    @property
    def postgres(self) -> str:
        return self._url(POSTGRES)

    def postgres_as(self, role: RoleName) -> str:
        """The URL by which the installation's role logs in to the stack's database."""
        administrator = self._url(POSTGRES)  # raises where there is no such server
        return self._by_role.get(role, administrator)

    @property
    def timescale(self) -> str:
        """The time series' store: the same cluster and database as `postgres`."""
        return self._url(POSTGRES)

    @property
    def redis(self) -> str:
        return self._url(REDIS)

    @property
    def mongo(self) -> str:
        return self._url(MONGO)

    def as_dict(self) -> dict[str, str]:
        """The URLs that there are, by store: postgres, timescale, redis, mongo."""
        by_store = {"postgres": POSTGRES, "timescale": POSTGRES, "redis": REDIS, "mongo": MONGO}
        return {store: self._by_server[server] for store, server in by_store.items() if server in self._by_server}

    def _url(self, server: str) -> str:
        if server not in self._by_server:
            raise NotUpError(
                f"{server} is not part of this stack", hint="start the stack with all servers, or name one by URL"
            )
        return self._by_server[server]


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server of a running stack. `endpoint` is a socket's path or host:port."""

    name: str
    version: str
    pid: int
    endpoint: str
    log: Path
    started_at: datetime


@dataclass(frozen=True, slots=True)
class StackState:
    """A run of a stack. `phase` is starting, ready or stopping; `process` is the supervisor."""

    directory: Path
    process: ProcessIdentity
    phase: str
    detached: bool
    started_at: datetime
    run_folder: Path | None = None
    servers: tuple[ServerState, ...] = ()
    urls: StackUrls = field(default_factory=lambda: StackUrls({}))

    @property
    def pid(self) -> int:
        return self.process.pid


def write_state(state: StackState) -> None:
    """Makes the run known to others, at once and whole."""
    document = {
        "format": _FORMAT,
        "process": asdict(state.process),
        "phase": state.phase,
        "detached": state.detached,
        "started_at": state.started_at.isoformat(),
        "run_folder": str(state.run_folder) if state.run_folder else None,
        "servers": [
            {**asdict(server), "log": str(server.log), "started_at": server.started_at.isoformat()}
            for server in state.servers
        ],
    }
    write_private(Layout(state.directory).run_file, json.dumps(document, indent=1) + "\n")


def recorded_state(directory: Path) -> StackState | None:
    """What stack.json says, of a living run or of a dead one.

    None where there is no such file, or one that nobody can read.
    """
    layout = Layout(directory)
    try:
        document = json.loads(layout.run_file.read_text())
        state = StackState(
            directory=directory,
            process=ProcessIdentity(**document["process"]),
            phase=document["phase"],
            detached=document["detached"],
            started_at=datetime.fromisoformat(document["started_at"]),
            run_folder=Path(document["run_folder"]) if document["run_folder"] else None,
            servers=tuple(
                ServerState(
                    **{**server, "log": Path(server["log"]), "started_at": datetime.fromisoformat(server["started_at"])}
                )
                for server in document["servers"]
            ),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        return None  # another version wrote it, or it met a full disk; whether the run lives, stack.lock decides
    if not state.servers:
        return state
    passwords = read_passwords(layout)
    by_server = {server.name: url_of(server, passwords) for server in state.servers}
    by_role = {
        role: _postgres_url(server, role_name(USER, role), passwords[role_secret(role)])
        for server in state.servers
        for role in ROLES
        if server.name == POSTGRES and role_secret(role) in passwords
    }
    return replace(state, urls=StackUrls(by_server, by_role))


def role_secret(role: RoleName) -> str:
    """Under which name the password of a role of PostgreSQL is kept."""
    return f"{POSTGRES}_{role}"


def _postgres_url(server: ServerState, user: str, password: str) -> str:
    return f"postgresql://{user}:{password}@/{DATABASE}?host={quote(str(Path(server.endpoint).parent), safe='')}"


def url_of(server: ServerState, passwords: Mapping[str, str]) -> str:
    password = passwords[server.name]
    match server.name:
        case "postgres":
            return _postgres_url(server, USER, password)
        case "redis":
            return f"unix://:{password}@{quote(server.endpoint)}?db=0"
        case "mongo":
            return f"mongodb://{USER}:{password}@{server.endpoint}/?authSource=admin"
        case _:
            raise ServerError(f"stack.json names an unknown server {server.name!r}")


def passwords_of(layout: Layout) -> dict[str, str]:
    """The stack's passwords; each is made once, at the first start."""
    present = read_passwords(layout) if layout.secrets_file.exists() else {}
    needed = (*SERVERS, *map(role_secret, ROLES))
    made = {name: secrets.token_hex(24) for name in needed if name not in present}
    if made:
        write_private(layout.secrets_file, json.dumps({**present, **made}, indent=1) + "\n")
    return {**present, **made}


def read_passwords(layout: Layout) -> dict[str, str]:
    try:
        passwords: dict[str, str] = json.loads(layout.secrets_file.read_text())
    except (OSError, ValueError) as error:
        raise ServerError(str(error), operation="read the passwords", target=str(layout.secrets_file)) from error
    return passwords


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read: whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class StackLock:
    """The right to run a stack on a directory: held by one process, and gone with it however it ends."""

    def __init__(self, layout: Layout) -> None:
        """Takes the lock.

        Raises AlreadyUpError where another process holds it, ServerStartError where the directory is not ours.
        """
        self._path = layout.stack_lock
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerStartError(str(error), operation="start a stack in", target=str(layout.directory)) from error
        # A reader that looks whether the lock is free holds it for an instant; a stack that is on its way down, whose
        # parent was killed perhaps, for a few seconds.
        asked = time.monotonic()
        while not _taken(self._descriptor, fcntl.LOCK_EX):
            patience = _STOPPING_SECONDS if _is_stopping(layout) else _READERS_SECONDS
            if time.monotonic() - asked > patience:
                os.close(self._descriptor)
                raise _already_up(layout)
            time.sleep(0.02)
        owner = os.fstat(self._descriptor).st_uid
        if owner != os.geteuid():
            os.close(self._descriptor)
            raise ServerStartError(
                f"the stack belongs to the user with id {owner}",
                operation="start a stack in",
                target=str(layout.directory),
                hint="start it as that user, or choose another directory",
            )

    def is_in_place(self) -> bool:
        """False once the directory was removed under our feet."""
        try:
            return self._path.stat().st_ino == os.fstat(self._descriptor).st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        os.close(self._descriptor)


def is_locked(lock: Path) -> bool:
    """Whether a living process holds a lock. Raises ServerError where that is another user's business."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        hint = "work as the user who started it, or name another directory"
        raise ServerError(
            "the stack belongs to another user", operation="look into", target=str(lock.parent), hint=hint
        ) from error
    try:
        return not _taken(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_stopping(layout: Layout) -> bool:
    recorded = recorded_state(layout.directory)
    return recorded is not None and recorded.phase == STOPPING


def _already_up(layout: Layout) -> AlreadyUpError:
    first = recorded_state(layout.directory)
    if first is None or not first.process.is_alive():
        cause = "another start of this stack is under way"
    else:
        since = first.started_at.isoformat(timespec="seconds")
        cause = f"it is {'up' if first.phase == READY else first.phase} already: process {first.pid}, since {since}"
    return AlreadyUpError(
        cause,
        operation="start a stack in",
        target=str(layout.directory),
        hint="use it (`storekeeper env`, `storekeeper status`), or stop it first with `storekeeper down`",
    )


def data_version_problem(server: str, *, data: str, program: str) -> str | None:
    """Why a program must not open data that another version wrote last; None if it may.

    Versions are 'engine version'.
    """
    data_engine, _, data_version = data.partition(" ")
    engine, _, version = program.partition(" ")
    if "unknown" in (data_version, version):
        return None
    if data_engine != engine:
        return f"the data directory belongs to {data_engine} {data_version}, the program is {engine} {version}"
    data_major, major = (int(text.partition(".")[0]) for text in (data_version, version))
    if server == POSTGRES and data_major != major:
        return f"the data directory belongs to PostgreSQL {data_major}, the program is PostgreSQL {major}"
    if data_major > major:
        return f"the data directory was written by {engine} {data_version}, the program is the older {version}"
    return None


def read_versions(layout: Layout) -> dict[str, str]:
    """By server, what wrote its data last."""
    try:
        versions: dict[str, str] = json.loads(layout.versions_file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ServerError(
            str(error), operation="read", target=str(layout.versions_file), hint="remove the file"
        ) from error
    return versions
