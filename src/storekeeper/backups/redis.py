"""Redis and Valkey: one RDB file, as the server sends it to a replica, in `dump.rdb`.

Asked for over the replication protocol and not by `valkey-cli --rdb`: through the driver it works with every URL that
the driver knows (TLS, unix sockets, users), no password leaves the process, the position in the server's log comes
along, and the server begins at once (to the tool it sends without a file of its own, for which it first waits seconds
for other takers).
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis

from storekeeper.backups.running import Errand, run
from storekeeper.backups.taken import Taken
from storekeeper.backups.tools import rdb_checker
from storekeeper.errors import NotSupportedError, PermissionDeniedError, StorekeeperError, UnavailableError
from storekeeper.settings import ClientPool, without_password
from storekeeper.stores.redis.client import client_options
from storekeeper.stores.redis.failures import translate, translated

RDB = "dump.rdb"
_RIGHTS = "the user needs +info +ping +replconf +psync"
# While the server writes its snapshot it sends a newline each second: one that is silent for so long is gone.
_POOL = ClientPool(min=0, size=1, connect=10, operation=60)
_LONGEST_LINE = 1024
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class RedisServer:
    """What is known of a running server. `bytes` is what its data takes in memory: the file will be smaller."""

    engine: str
    version: str
    run_id: str
    keys: int
    bytes: int


def inspect_redis(url: str) -> RedisServer:
    """Asks the server behind a URL. Raises the stores' errors, and NotSupportedError for a node of a cluster."""
    target = without_password(url)
    with translated("inspect", target), redis.Redis(connection_pool=_pool(url)) as client:
        told: dict[str, Any] = client.info()
    if int(told.get("cluster_enabled", 0)):
        raise NotSupportedError(
            "a node of a Redis Cluster has a part of the keys only",
            operation="back up",
            target=target,
            hint="back up each node by its own means",
        )
    valkey = told.get("valkey_version")
    return RedisServer(
        engine="valkey" if valkey else "redis",
        version=str(valkey or told["redis_version"]),
        run_id=str(told["run_id"]),
        keys=sum(int(space["keys"]) for name, space in told.items() if re.fullmatch(r"db\d+", name)),
        bytes=int(told.get("used_memory_dataset", told["used_memory"])),
    )


def take_rdb(url: str, server: RedisServer, folder: Path, errand: Errand) -> Taken:
    """Has the server send its data, and has the server's own tool check it.

    Raises the stores' errors, BackupError, MissingBinaryError.
    """
    checker = rdb_checker(engine=server.engine, version=server.version)
    target = folder / RDB
    position = _receive(url, target, errand)
    said = run(checker, [str(target)], errand)
    counts = {
        name: int(found[1])
        for name, pattern in (("keys", r"(\d+) keys read"), ("expiring_keys", r"(\d+) expires"))
        if (found := re.search(pattern, said))
    }
    return Taken(
        engine=server.engine,
        server_version=server.version,
        identity=position["replication_id"],
        consistency="one moment: the snapshot that the server took",
        position=position,
        counts=counts,
        details={"run_id": server.run_id},
        tools={checker.name: checker.version},
    )


def _receive(url: str, target: Path, errand: Errand) -> dict[str, Any]:
    """Writes the file, and says where in the server's log of changes it stands."""
    pool = _pool(url)
    connection: Any = pool.make_connection()  # the driver's own class, which it leaves half untyped
    try:
        with translated("back up", errand.target):
            connection.connect()
            try:
                # So that the server doesn't go on sending changes. Older ones don't know it, and are hung up on.
                connection.send_command("REPLCONF", "rdb-only", "1")
                connection.read_response()
            except redis.exceptions.NoPermissionError:
                raise
            except redis.exceptions.ResponseError:
                pass
            connection.send_command("PSYNC", "?", "-1")
        # Every answer up to here was read whole, so nothing of what follows lies in the driver's own buffer.
        wire: socket.socket = connection._sock
        wire.settimeout(_POOL.operation)
        with cast("io.BufferedReader", wire.makefile("rb", buffering=_CHUNK)) as stream:
            return _copy(stream, target, errand)
    finally:
        connection.disconnect()
        pool.disconnect()


def _copy(stream: io.BufferedReader, target: Path, errand: Errand) -> dict[str, Any]:
    answer = _line(stream, errand)
    if not answer.startswith("+FULLRESYNC "):
        raise _refused(answer, errand)
    _, replication_id, offset = answer.split()
    header = _line(stream, errand)
    if not re.fullmatch(r"\$\d+", header):
        raise _refused(header, errand)
    left = int(header[1:])
    with target.open("xb") as file:
        while left:
            errand.deadline.check(target=errand.target)
            with _network(errand):
                chunk = stream.read1(min(left, _CHUNK))
            if not chunk:
                raise UnavailableError(
                    f"the server hung up {left} bytes before the end", operation="back up", target=errand.target
                )
            file.write(chunk)
            left -= len(chunk)
    return {"replication_id": replication_id, "offset": int(offset)}


def _line(stream: io.BufferedReader, errand: Errand) -> str:
    """The next line that isn't empty."""
    while True:
        errand.deadline.check(target=errand.target)
        with _network(errand):
            line = stream.readline(_LONGEST_LINE)
        if not line:
            raise UnavailableError("the server hung up", operation="back up", target=errand.target)
        if line.strip():
            return line.decode(errors="replace").strip()


def _refused(answer: str, errand: Errand) -> StorekeeperError:
    error = translate(redis.ResponseError(answer.lstrip("-")), operation="back up", target=errand.target)
    if isinstance(error, PermissionDeniedError):
        error.hint = _RIGHTS
    return error


@contextmanager
def _network(errand: Errand) -> Iterator[None]:
    """A failing connection, told apart from a failing disk."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(str(error), operation="back up", target=errand.target) from error


def _pool(url: str) -> redis.ConnectionPool:
    told = client_options(url, _POOL)
    pool = redis.ConnectionPool.from_url(told.url, **told.options)
    # Protocol 2, whatever the URL says: in it the server sends nothing unasked. No name: that would be a right more.
    pool.connection_kwargs |= {"protocol": 2, "health_check_interval": 0, "client_name": None}
    return pool
