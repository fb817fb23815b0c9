"""Whether a server answers a real query: one probe per server, and the wait for it with a deadline.

The drivers are imported by the probe that needs them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storekeeper.errors import ServerStartError
from storekeeper.servers.launcher import Child, describe_exit
from storekeeper.servers.recipes import DATABASE, USER
from storekeeper.servers.steps import Steps

if TYPE_CHECKING:
    from storekeeper.servers.roles import RoleName

START_SECONDS = 60.0
# A server that says that it is recovering or loading is at work: a large log takes its time.
LOADING_SECONDS = 3600.0
_ANSWER_SECONDS = 5
_LOST_PASSWORD = "the password in secrets.json is not the server's: restore that file from where it was"  # noqa: S105  # a message


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe heard. `loading`: the server is alive and not done starting; `refused`: waiting will not help."""

    ready: bool
    said: str = ""
    loading: bool = False
    refused: bool = False


Probe = Callable[[], Answer]


def until_ready(child: Child, probe: Probe, *, seconds: float = START_SECONDS) -> Steps[None]:
    """Waits until the probe succeeds.

    Raises ServerStartError, with the end of the log, when the child ends, refuses, or takes too long.
    """
    begun = time.monotonic()
    answer = Answer(ready=False, said="it was not asked yet")
    while True:
        if (code := child.exit_code()) is not None:
            raise child.failure(f"it ended with {describe_exit(code)} before it was ready")
        answer = probe()
        if answer.ready:
            return
        if answer.refused:
            raise child.failure(f"it refuses our query: {answer.said}", hint=_LOST_PASSWORD)
        allowed = LOADING_SECONDS if answer.loading else seconds
        if time.monotonic() - begun > allowed:
            raise child.failure(f"it was not ready within {allowed:.0f} s: {answer.said}")
        yield


def postgres_answer(socket: Path, password: str, *, database: str = DATABASE) -> Answer:
    """Asks PostgreSQL for a row."""
    import psycopg

    if not socket.exists():
        return Answer(ready=False, said=f"there is no socket {socket}")
    try:
        with psycopg.connect(
            host=str(socket.parent),
            user=USER,
            password=password,
            dbname=database,
            connect_timeout=_ANSWER_SECONDS,
            application_name="storekeeper readiness",
            options=f"-c statement_timeout={_ANSWER_SECONDS * 1000}",
        ) as connection:
            connection.execute("SELECT 1").fetchone()
    except psycopg.Error as error:
        said = str(error).strip()
        ping = psycopg.pq.PGconn.ping(f"host={socket.parent}".encode())
        # libpq keeps the SQLSTATE of a refused log-in to itself; there is only its text, which our configuration keeps
        # English
        refused = "password authentication failed" in said
        return Answer(ready=False, said=said, loading=ping == psycopg.pq.Ping.REJECT, refused=refused)
    return Answer(ready=True)


def ensure_database(socket: Path, password: str) -> None:
    """Makes the stack's database where it is missing. The server must be ready. Raises ServerStartError."""
    import psycopg

    try:
        with psycopg.connect(
            host=str(socket.parent),
            user=USER,
            password=password,
            dbname="postgres",
            connect_timeout=_ANSWER_SECONDS,
            autocommit=True,
        ) as connection:
            if (
                connection.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                is None
            ):
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.Error as error:
        raise ServerStartError(str(error).strip(), operation="create the database", target=DATABASE) from error


def ensure_roles(socket: Path, password: str, passwords: Mapping[RoleName, str]) -> None:
    """Makes the stack's login roles where they are missing, and has each let in by its password in secrets.json. The
    database must be there. Raises ServerStartError."""
    import psycopg

    from storekeeper.servers.roles import make_roles, role_name, set_password

    def login(user: str, by: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(socket.parent), user=user, password=by, dbname=DATABASE, connect_timeout=_ANSWER_SECONDS
        )

    try:
        with login(USER, password) as connection:
            made = make_roles(connection, USER, passwords)
        for role, own in passwords.items():
            name = role_name(USER, role)
            if name in made:
                continue
            try:
                login(name, own).close()
            except psycopg.OperationalError:
                # the secrets were lost and made anew, or the data is a restored copy's
                with login(USER, password) as connection:
                    set_password(connection, name, own)
    except psycopg.Error as error:
        raise ServerStartError(str(error).strip(), operation="create the roles", target=DATABASE) from error


def redis_answer(socket: Path, password: str) -> Answer:
    """Asks Redis to echo."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    if not socket.exists():
        return Answer(ready=False, said=f"there is no socket {socket}")
    # without the driver's own retries, seconds apart: until_ready asks again by itself
    once = Retry(NoBackoff(), 0)
    client = redis.Redis(unix_socket_path=str(socket), password=password, socket_timeout=_ANSWER_SECONDS, retry=once)
    try:
        client.ping()
    except redis.exceptions.BusyLoadingError as error:
        return Answer(ready=False, said=str(error), loading=True)
    except redis.exceptions.AuthenticationError as error:
        return Answer(ready=False, said=str(error), refused=True)
    except (redis.exceptions.RedisError, OSError) as error:
        return Answer(ready=False, said=str(error))
    finally:
        client.close()
    return Answer(ready=True)


def mongo_answer(port: int, password: str) -> Answer:
    """Asks the MongoDB-protocol server for the names of its databases, logged in."""
    import pymongo
    from pymongo.errors import OperationFailure, PyMongoError

    with pymongo.MongoClient[dict[str, object]](
        "127.0.0.1",
        port,
        username=USER,
        password=password,
        authSource="admin",
        directConnection=True,
        serverSelectionTimeoutMS=_ANSWER_SECONDS * 1000,
        connectTimeoutMS=_ANSWER_SECONDS * 1000,
        socketTimeoutMS=_ANSWER_SECONDS * 1000,
    ) as client:
        try:
            client.list_database_names()
        except OperationFailure as error:
            return Answer(
                ready=False, said=str(error.details.get("errmsg") if error.details else error), refused=error.code == 18
            )
        except PyMongoError as error:
            return Answer(ready=False, said=str(error))
    return Answer(ready=True)


def create_mongo_user(port: int, password: str) -> None:
    """Makes the only user of a server that runs without authentication for this one moment. Raises ServerStartError.

    Whoever else on the machine found the port in that moment could have made a user of his own: then the start fails.
    """
    import pymongo
    from pymongo.errors import PyMongoError

    milliseconds = _ANSWER_SECONDS * 1000
    with pymongo.MongoClient[dict[str, object]](
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=milliseconds, socketTimeoutMS=milliseconds
    ) as client:
        try:
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
            users = [user["_id"] for user in client.admin["system.users"].find({}, {"_id": 1})]
            roles = client.admin["system.roles"].count_documents({})
        except PyMongoError as error:
            raise ServerStartError(str(error), operation="create the user of", target="mongo") from error
    if users != [f"admin.{USER}"] or roles:
        raise ServerStartError(
            f"while it was being set up, somebody else made users or roles on it: {users}",
            operation="create the user of",
            target="mongo",
            hint="another user of this machine watches its ports; the half-made data was discarded",
        )
