"""A key ring in a PostgreSQL of its own, for the processes of many machines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import psycopg

from storekeeper.errors import KeyRingError, SealingError, SettingsError
from storekeeper.sealing.keys import Execute
from storekeeper.settings import without_password

T = TypeVar("T")

_SCHEMA: Final = "storekeeper_keyring"
_TABLES: Final = f"""
SELECT pg_advisory_xact_lock(hashtextextended('{_SCHEMA}', 0));
CREATE SCHEMA IF NOT EXISTS {_SCHEMA};
CREATE TABLE IF NOT EXISTS {_SCHEMA}.ring (
    only_one SMALLINT PRIMARY KEY CHECK (only_one = 1), epoch BIGINT NOT NULL, master TEXT NOT NULL,
    rotated_at TIMESTAMPTZ
);
CREATE TABLE IF NOT EXISTS {_SCHEMA}.keys (
    id BYTEA PRIMARY KEY, holder TEXT NOT NULL, epoch BIGINT NOT NULL, master TEXT NOT NULL, wrapped BYTEA NOT NULL,
    made_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (holder, epoch)
);
CREATE INDEX IF NOT EXISTS keys_master ON {_SCHEMA}.keys (master);
"""


class KeyDatabase:
    """One connection, opened when it is first needed and taken in turns; anew after it was lost, and in a forked child.

    The role needs to own the schema storekeeper_keyring, or to be allowed to make it.
    """

    ring = f"{_SCHEMA}.ring"
    keys = f"{_SCHEMA}.keys"
    share = " FOR SHARE"

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        if scheme.removesuffix("+psycopg") not in ("postgresql", "postgres"):
            raise SettingsError(
                f"{scheme}:// is not a PostgreSQL URL",
                operation="read",
                target="keyring_url",
                hint="write it like postgresql://user:password@host:5432/database; a file is `keyring`",
            )
        self._url = f"postgresql://{rest}"
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._process = os.getpid()

    def perform(self, work: Callable[[Execute], T], *, write: bool) -> T:
        """See KeyStore: a connection that was lost is replaced once."""
        with self._lock:
            try:
                had_one = self._usable()
                try:
                    return self._performed(work, write)
                except psycopg.OperationalError:
                    if not had_one or self._connection is None or not self._connection.broken:
                        raise
                    return self._performed(work, write)
            except psycopg.OperationalError as error:
                raise KeyRingError(
                    " ".join(str(error).split()), operation="use key ring", target=without_password(self._url)
                ) from error
            except psycopg.Error as error:
                raise SealingError(
                    error.diag.message_primary or type(error).__name__,
                    operation="use key ring",
                    target=without_password(self._url),
                ) from error

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        with self._lock:
            if self._usable() and self._connection is not None:
                self._connection.close()
            self._connection = None

    def _usable(self) -> bool:
        if self._process != os.getpid():
            self._process, self._connection = os.getpid(), None  # it is the parent's
        return self._connection is not None and not self._connection.closed

    def _performed(self, work: Callable[[Execute], T], write: bool) -> T:
        connection = self._opened()

        def execute(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement.replace("?", "%s"), parameters)
            return cursor.fetchall() if cursor.description is not None else []

        with connection.transaction():
            # by SET LOCAL, so that a transaction-mode pooler serves
            connection.execute(
                f"SET LOCAL statement_timeout = '10s'; SET LOCAL transaction_read_only = {_on(not write)}"
            )
            return work(execute)

    def _opened(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, connect_timeout=5, prepare_threshold=None, autocommit=True)
            with self._connection.transaction():
                made = self._connection.execute("SELECT to_regclass(%s)", (f"{_SCHEMA}.keys_master",)).fetchone()
                if made is None or made[0] is None:
                    self._connection.execute(_TABLES)
        return self._connection


def _on(value: bool) -> str:
    return "on" if value else "off"
