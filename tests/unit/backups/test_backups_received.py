"""What comes over the wire is believed only as far as it is whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from storekeeper.backups.manifest import Inventory, StoredFile
from storekeeper.backups.postgres import _confirm, _position
from storekeeper.backups.redis import _copy
from storekeeper.backups.running import Deadline, Errand
from storekeeper.errors import (
    AuthenticationError,
    BackupError,
    CorruptBackupError,
    PermissionDeniedError,
    StoreError,
    StorekeeperError,
    UnavailableError,
)

LISTED: dict[str, Any] = {
    "Files": [
        {"Path": "PG_VERSION", "Size": 3, "Checksum": "aa"},
        {"Encoded-Path": b"base/\xff".hex(), "Size": 0, "Checksum": "bb"},
    ],
    "WAL-Ranges": [
        {"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"},
        {"Timeline": 2, "Start-LSN": "0/2000100", "End-LSN": "0/2000120"},
    ],
}
WRITTEN = (
    StoredFile("data/PG_VERSION", 3, "aa"),
    StoredFile("data/backup_manifest", 9, "cc"),
    StoredFile("data/base/\udcff", 0, "bb"),
    StoredFile("data/pg_wal/000000010000000000000002", 16, "dd"),
)


def test_a_copy_that_is_what_the_server_listed_is_confirmed() -> None:
    _confirm(LISTED, Inventory(WRITTEN, ()), "postgres/x")
    assert _position(LISTED) == {"timeline": 2, "start_lsn": "0/2000028", "end_lsn": "0/2000120"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (WRITTEN[1:], "PG_VERSION is missing"),
        ((StoredFile("data/PG_VERSION", 3, "ab"), *WRITTEN[1:]), "PG_VERSION has another checksum"),
        ((StoredFile("data/PG_VERSION", 2, "aa"), *WRITTEN[1:]), "PG_VERSION has 2 bytes instead of 3"),
        ((*WRITTEN, StoredFile("data/base/1", 3, "aa")), "base/1 is not in the manifest"),
    ],
)
def test_a_copy_that_is_not_what_the_server_listed_is_refused(written: tuple[StoredFile, ...], said: str) -> None:
    with pytest.raises(CorruptBackupError, match=said):
        _confirm(LISTED, Inventory(written, ()), "postgres/x")


def copied(sent: bytes, target: Path, *, seconds: float = 20) -> dict[str, Any]:
    stream: Any = io.BufferedReader(io.BytesIO(sent))
    return _copy(stream, target, Errand("redis/x", Deadline.within(seconds)))


def test_an_rdb_is_read_to_its_end_and_no_further(tmp_path: Path) -> None:
    sent = b"\n\n+FULLRESYNC 17c2 1061\r\n\n\n$9\r\nREDIS0011*1\r\n$4\r\nPING\r\n"
    assert copied(sent, tmp_path / "rdb") == {"replication_id": "17c2", "offset": 1061}
    assert (tmp_path / "rdb").read_bytes() == b"REDIS0011"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", UnavailableError),
        (b"\n\n", UnavailableError),
        (b"+FULLRESYNC 17c2 1061\r\n", UnavailableError),
        (b"+FULLRESYNC 17c2 1061\r\n$9\r\nREDIS001", UnavailableError),
        (b"-LOADING reading its data\r\n", UnavailableError),
        (b"-NOAUTH Authentication required.\r\n", AuthenticationError),
        (b"-NOPERM no permissions\r\n", PermissionDeniedError),
        (b"+CONTINUE\r\n", StoreError),
        (b"+FULLRESYNC 17c2 1061\r\n$EOF:0123\r\n", StoreError),
        (b"+FULLRESYNC 17c2 1061\r\n-ERR no memory\r\n", StoreError),
    ],
)
def test_an_rdb_that_does_not_come_whole_is_an_error(
    sent: bytes, error: type[StorekeeperError], tmp_path: Path
) -> None:
    with pytest.raises(error):
        copied(sent, tmp_path / "rdb")


def test_a_server_that_only_says_wait_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="longer than it may"):
        copied(b"\n" * 10, tmp_path / "rdb", seconds=0)
