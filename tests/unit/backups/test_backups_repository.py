"""The repository: a backup is there whole or not at all, and says so when a byte of it changed."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backup_samples import MANIFEST
from storekeeper.backups import repository as repository_module
from storekeeper.backups.manifest import Inventory, Manifest, to_json
from storekeeper.backups.repository import Draft, Repository, check_backup, list_backups
from storekeeper.errors import AlreadyRunningError, BackupError, CorruptBackupError, RepositoryFullError

LABEL = MANIFEST.label


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "backups")


def described(inventory: Inventory) -> Manifest:
    return replace(
        MANIFEST, files=inventory.files, empty_directories=inventory.empty_directories, bytes=inventory.bytes
    )


def filled(draft: Draft) -> Draft:
    (draft.path / "data" / "empty").mkdir(parents=True)
    (draft.path / "data" / "rows").write_bytes(b"0123456789")
    (draft.path / "data" / "none").write_bytes(b"")
    return draft


@pytest.fixture
def backup(repository: Repository) -> Path:
    with repository.writing("postgres", LABEL) as draft:
        filled(draft).commit(described)
    return repository.path("postgres", LABEL)


def test_a_committed_backup_is_whole_and_private(repository: Repository, backup: Path) -> None:
    manifest = check_backup(repository, "postgres", LABEL)
    assert [file.path for file in manifest.files] == ["data/none", "data/rows"]
    assert manifest.empty_directories == ("data/empty",)
    assert manifest.bytes == 10
    for path in (backup.parent, backup, *backup.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert repository.labels("postgres") == (LABEL,)
    assert [(found.server, found.label, found.problem) for found in list_backups(repository)] == [
        ("postgres", LABEL, None)
    ]


def test_a_repository_that_does_not_exist_is_empty(repository: Repository) -> None:
    assert list_backups(repository) == ()
    assert repository.free_bytes() > 0
    assert not repository.root.exists()
    with pytest.raises(BackupError, match="no such backup"):
        check_backup(repository, "postgres", LABEL)


def test_the_manifest_comes_last_and_only_then_the_name(repository: Repository) -> None:
    def refused(inventory: Inventory) -> Manifest:
        partial = repository.path("postgres", f"{LABEL}.partial")
        assert len(inventory.files) == 2
        assert not (partial / "manifest.json").exists()
        raise CorruptBackupError("not what was sent")

    with pytest.raises(CorruptBackupError, match="not what was sent"), repository.writing("postgres", LABEL) as draft:
        filled(draft).commit(refused)
    assert repository.labels("postgres") == repository.leftovers("postgres") == ()


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_nothing_stays_of_what_was_interrupted(repository: Repository, raised: type[BaseException]) -> None:
    with pytest.raises(raised), repository.writing("postgres", LABEL) as draft:
        filled(draft)
        raise raised
    assert repository.labels("postgres") == repository.leftovers("postgres") == ()


def test_a_block_that_commits_nothing_leaves_nothing(repository: Repository) -> None:
    with repository.writing("postgres", LABEL) as draft:
        filled(draft)
    assert repository.labels("postgres") == repository.leftovers("postgres") == ()


def test_leftovers_of_a_killed_run_are_removed_by_the_next(repository: Repository) -> None:
    killed = repository.path("postgres", "20140607T020000Z-full.partial")
    (killed / "data").mkdir(parents=True)
    (killed / "data" / "half").write_bytes(b"01")
    foreign = repository.path("postgres", "notes")
    foreign.mkdir()
    with repository.writing("postgres", LABEL) as draft:
        assert draft.swept == ("20140607T020000Z-full.partial",)
        assert not killed.exists()
        filled(draft).commit(described)
    assert foreign.is_dir()
    assert repository.labels("postgres") == (LABEL,)


def test_a_label_is_never_written_twice(repository: Repository, backup: Path) -> None:
    with pytest.raises(BackupError, match="exists already"), repository.writing("postgres", LABEL):
        pytest.fail("it was lent")
    check_backup(repository, "postgres", LABEL)


def test_one_writes_at_a_time_and_leftovers_of_the_living_stay(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "_PATIENCE", 0.2)
    with repository.writing("postgres", LABEL) as draft:
        with (
            pytest.raises(AlreadyRunningError),
            repository.writing("postgres", "20140609T020000Z-full"),
        ):
            pytest.fail("it was lent")
        assert draft.path.is_dir()
        with repository.writing("redis", LABEL):
            pass  # another server's backup doesn't wait


def test_the_lock_is_held_by_whoever_inherits_it(repository: Repository) -> None:
    with repository.writing("postgres", LABEL) as draft:
        inherited = os.dup(draft.lock)
    probe = os.open(repository.root / "postgres" / ".lock", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(inherited)
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(probe)


def test_a_full_disk_is_said_with_what_to_do(repository: Repository) -> None:
    with pytest.raises(RepositoryFullError, match="No space left") as caught, repository.writing("postgres", LABEL):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "STOREKEEPER_BACKUPS" in caught.value.hint
    with pytest.raises(BackupError) as other, repository.writing("postgres", LABEL):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert not isinstance(other.value, RepositoryFullError)


def flip(backup: Path) -> None:
    content = bytearray((backup / "data" / "rows").read_bytes())
    content[3] ^= 1
    (backup / "data" / "rows").write_bytes(content)


def cut(backup: Path) -> None:
    (backup / "data" / "rows").write_bytes(b"012345678")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (flip, "data/rows has another checksum"),
    (cut, "data/rows has 9 bytes instead of 10"),
    (lambda backup: (backup / "data" / "none").unlink(), "data/none is missing"),
    (lambda backup: (backup / "data" / "empty").rmdir(), "data/empty/ is missing"),
    (lambda backup: (backup / "data" / "new").touch(), "data/new is not in the manifest"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[said for _, said in DAMAGES])
def test_a_check_names_the_file(
    repository: Repository, backup: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(backup)
    with pytest.raises(CorruptBackupError, match=said):
        check_backup(repository, "postgres", LABEL)


def test_a_damaged_backup_is_listed_with_its_problem(repository: Repository, backup: Path) -> None:
    (backup / "manifest.json").unlink()
    (found,) = list_backups(repository)
    assert found.manifest is None
    assert isinstance(found.problem, CorruptBackupError)
    (backup / "manifest.json").write_bytes(b"\xff\xfe")
    (found,) = list_backups(repository)
    assert isinstance(found.problem, CorruptBackupError)


def test_a_manifest_of_another_backup_is_refused(repository: Repository, backup: Path) -> None:
    (backup / "manifest.json").write_text(to_json(replace(MANIFEST, server="redis")))
    with pytest.raises(CorruptBackupError, match="is of redis/"):
        repository.read("postgres", LABEL)


def test_a_link_is_no_part_of_a_backup(repository: Repository) -> None:
    with pytest.raises(BackupError, match="is no file"), repository.writing("postgres", LABEL) as draft:
        (filled(draft).path / "link").symlink_to("/etc/passwd")
        draft.commit(described)
    assert repository.labels("postgres") == ()
