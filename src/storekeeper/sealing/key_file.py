"""A key ring in a file: SQLite, for the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from storekeeper.errors import KeyRingError, SealingError
from storekeeper.sealing.keys import Execute

T = TypeVar("T")

_WAIT_SECONDS: Final = 10.0

#: Deleted bytes are overwritten; a journal that goes with its transaction, for a log would keep what was deleted; each
#: commit is on the disk, the journal's removal included, before it is said to be done.
_SESSION: Final = ("PRAGMA journal_mode = DELETE", "PRAGMA secure_delete = ON", "PRAGMA synchronous = EXTRA")
_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS ring (
        only_one INTEGER PRIMARY KEY CHECK (only_one = 1), epoch INTEGER NOT NULL, master TEXT NOT NULL, rotated_at TEXT
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS keys (
        id BLOB PRIMARY KEY, holder TEXT NOT NULL, epoch INTEGER NOT NULL, master TEXT NOT NULL, wrapped BLOB NOT NULL,
        made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (holder, epoch)
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS keys_master ON keys (master)",
)


class KeyFile:
    """The file is made when it is first needed, with mode 0600; each transaction has a connection of its own, so any
    thread and process may use it."""

    ring = "ring"
    keys = "keys"
    share = ""  # a transaction that writes is alone

    def __init__(self, path: Path) -> None:
        self._path = path

    def perform(self, work: Callable[[Execute], T], *, write: bool) -> T:
        """See KeyStore. Raises KeyRingError where another process holds the file for longer than ten seconds."""
        try:
            self._make()
            with closing(sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
                return self._performed(connection, work, write)
        except sqlite3.OperationalError as error:
            raise KeyRingError(str(error), operation="use key ring", target=str(self._path)) from error
        except sqlite3.Error as error:
            raise SealingError(
                str(error), operation="use key ring", target=str(self._path), hint="put back its newest copy"
            ) from error
        except OSError as error:
            raise KeyRingError(
                error.strerror or str(error),
                operation="use key ring",
                target=str(self._path),
                hint="name a file that can be made and written: STOREKEEPER_KEYRING",
            ) from error

    def close(self) -> None:
        """Nothing stays open between transactions."""

    def _performed(self, connection: sqlite3.Connection, work: Callable[[Execute], T], write: bool) -> T:
        def execute(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
            return connection.execute(statement, parameters).fetchall()

        for pragma in _SESSION:
            connection.execute(pragma)
        ((tables,),) = execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('ring', 'keys', 'keys_master')", ())
        connection.execute("BEGIN IMMEDIATE" if write or tables < len(_TABLES) else "BEGIN")
        try:
            if tables < len(_TABLES):
                for table in _TABLES:
                    connection.execute(table)
            result = work(execute)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _make(self) -> None:
        """Makes an empty file that only its owner reads, or makes sure that the one there is such."""
        try:
            mode = stat.S_IMODE(self._path.stat().st_mode)
        except FileNotFoundError:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return
        if mode & 0o077:
            raise SealingError(
                f"others may read it: its mode is {mode:04o}",
                operation="use key ring",
                target=str(self._path),
                hint=f"chmod 600 {self._path}",
            )
