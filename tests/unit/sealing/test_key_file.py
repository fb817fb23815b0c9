"""The key ring's file: private, whole, and without a trace of what was destroyed."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from storekeeper import KeyRing, MasterKeys
from storekeeper.errors import KeyRingError, MasterKeyError, SealingError
from storekeeper.sealing.master_keys import new_master_key

PLACE = {"place": "defi.users.phone", "row": "1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "keyring.sqlite"


def test_the_file_and_its_folder_are_their_owners_alone(path: Path) -> None:
    KeyRing(path, MasterKeys.of(new_master_key())).seal("x", **PLACE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring.sqlite"]


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    ring = KeyRing(path, MasterKeys.of(new_master_key()))
    ring.seal("x", **PLACE)
    path.chmod(0o640)
    with pytest.raises(SealingError, match="mode is 0640"):
        ring.seal("x", **PLACE, person="p")


def test_a_file_that_is_no_key_ring_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else entirely" * 100)
    path.chmod(0o600)
    with pytest.raises(SealingError):
        KeyRing(path, MasterKeys.of(new_master_key())).seal("x", **PLACE)
    assert path.read_bytes() == b"something else entirely" * 100


def test_a_place_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyRingError, match="Not a directory"):
        KeyRing(tmp_path / "file" / "ring", MasterKeys.of(new_master_key())).seal("x", **PLACE)


def test_nothing_of_a_destroyed_key_stays_on_the_disk(path: Path) -> None:
    ring = KeyRing(path, MasterKeys.of(new_master_key()))
    for person in range(200):  # several pages, so that neighbours of the one that goes stay
        ring.seal("x", **PLACE, person=f"person {person:03}")  # of one length: none begins with another
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT id, wrapped FROM keys WHERE holder = 'person 077'").fetchall()
    connection.close()
    (key_id, wrapped) = rows[0]
    assert wrapped in path.read_bytes()
    assert ring.forget("person 077") == 1
    left = b"".join(entry.read_bytes() for entry in path.parent.iterdir())
    assert wrapped not in left
    assert key_id not in left
    assert b"person 077" not in left
    assert b"person 078" in left


def test_nothing_of_an_old_wrapping_stays_on_the_disk(path: Path) -> None:
    old, new = new_master_key(), new_master_key()
    ring = KeyRing(path, MasterKeys.of(old))
    for person in range(100):
        ring.seal("x", **PLACE, person=f"person {person}")
    with sqlite3.connect(path) as connection:
        before = [wrapped for (wrapped,) in connection.execute("SELECT wrapped FROM keys")]
    connection.close()
    assert KeyRing(path, MasterKeys.of(new, [old])).rotate() == 100
    left = b"".join(entry.read_bytes() for entry in path.parent.iterdir())
    assert not [wrapped for wrapped in before if wrapped in left]


def test_a_ring_of_another_master_key_says_which_one_it_needs(path: Path) -> None:
    first = MasterKeys.of(new_master_key())
    sealed = KeyRing(path, first).seal("x", **PLACE)
    stranger = KeyRing(path, MasterKeys.of(new_master_key()))
    with pytest.raises(MasterKeyError, match=first.current):
        stranger.open(sealed, **PLACE)
    with pytest.raises(MasterKeyError, match=first.current):
        stranger.seal("y", **PLACE, person="new")
    assert stranger.status().keys == 1
