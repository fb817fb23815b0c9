"""Session-level advisory locks: held as long as a connection of their own lives, so that a dead holder frees them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

from storekeeper.clock import as_utc
from storekeeper.errors import AlreadyRunningError
from storekeeper.ledger.locks import Lock
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.urls import psycopg_dsn

#: The client finds a dead connection within about 20 s; the server is told to do likewise (no matter on a socket file).
_SESSION = """
SELECT set_config(name, value, false) FROM (VALUES
    ('idle_session_timeout', '0'),  -- the session idles while the work is done over other connections
    ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '2'),
    ('tcp_user_timeout', '20000')
) AS setting (name, value)
"""

#: Who holds the lock: what its session says of itself, and since when it is connected. An oid is unsigned, a key isn't.
_HOLDER = """
SELECT activity.application_name, activity.backend_start
FROM pg_catalog.pg_locks AS lock JOIN pg_catalog.pg_stat_activity AS activity USING (pid)
WHERE lock.locktype = 'advisory' AND lock.objsubid = 2 AND lock.granted
  AND lock.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND lock.classid = %(namespace)s::int4::oid AND lock.objid = %(key)s::int4::oid
"""


def runner() -> str:
    """This process, as others can find it: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a lock: host and process id, and since when; empty and None where the server tells nothing."""

    runner: str
    since: datetime | None

    def __str__(self) -> str:
        known = [
            self.runner and f"by {self.runner}",
            self.since and f"since {as_utc(self.since):%Y-%m-%d %H:%M:%S} UTC",
        ]
        return " ".join(part for part in known if part) or "by another session"


class Held:
    """A lock in force, and the session that holds it."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], target: str) -> None:
        self._connection = connection
        self._target = target

    def check(self) -> None:
        """Asks the server whether the session still lives. Raises UnavailableError: then the lock may be another's."""
        with translated("keep lock", self._target):
            self._connection.execute("SELECT 1")


@contextmanager
def exclusively(url: str, lock: Lock, *, operation: str, target: str, connect_timeout: float) -> Iterator[Held]:
    """Holds a lock for as long as the block runs; `url` leads to the server itself, not to a pooler of transactions.

    Raises AlreadyRunningError, which names the holder, where it is held; nobody waits.
    """
    with translated(operation, target):
        connection = psycopg.connect(
            psycopg_dsn(url),
            autocommit=True,
            connect_timeout=max(2, round(connect_timeout)),
            application_name=f"storekeeper {runner()}"[:63],
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=2,
            tcp_user_timeout=20_000,
        )
    try:
        with translated(operation, target):
            connection.execute(_SESSION)
            row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (lock.namespace, lock.key)).fetchone()
            if row is None or not row[0]:
                raise AlreadyRunningError(
                    f"runs already {_holder(connection, lock)}",
                    operation=operation,
                    target=target,
                    hint="wait until it ends, or stop that process",
                )
        yield Held(connection, target)
    finally:
        connection.close()


def _holder(connection: psycopg.Connection[tuple[object, ...]], lock: Lock) -> Holder:
    with connection.cursor(row_factory=psycopg.rows.class_row(_Session)) as cursor:
        session = cursor.execute(_HOLDER, {"namespace": lock.namespace, "key": lock.key}).fetchone()
    if session is None:
        return Holder("", None)
    return Holder((session.application_name or "").removeprefix("storekeeper "), session.backend_start)


@dataclass(frozen=True, slots=True)
class _Session:
    application_name: str | None
    backend_start: datetime | None
