"""The repository: a directory of backups, each in a folder of its own that exists whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storekeeper.backups.inventory import (
    DIRECTORY_MODE,
    FILE_MODE,
    differences,
    read_tree,
    seal_tree,
    sync_directory,
)
from storekeeper.backups.manifest import FILE_NAME, Inventory, Manifest, from_json, is_label, to_json
from storekeeper.errors import (
    AlreadyRunningError,
    BackupError,
    CorruptBackupError,
    RepositoryFullError,
    StorekeeperError,
)

_PARTIAL = ".partial"
_LOCK = ".lock"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
#: Seconds that a run waits for the programs of one that was killed to be gone: they hold the lock too.
_PATIENCE = 10.0
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class ListedBackup:
    """A backup as a listing shows it. `manifest` is None where it cannot be read; then `problem` says why."""

    server: str
    label: str
    manifest: Manifest | None
    problem: StorekeeperError | None = None


@dataclass(slots=True)
class Draft:
    """A backup that is being written. Files go below `path`; every program that writes there is to inherit `lock`.

    `swept` are the leftovers of killed runs that were removed before this one began.
    """

    path: Path
    lock: int
    swept: tuple[str, ...]
    committed: Manifest | None = field(default=None, init=False)

    def commit(self, describe: Callable[[Inventory], Manifest]) -> Manifest:
        """Makes the draft a backup: files on the disk, then the manifest, then the name.

        `describe` gets the checksums of all files and may still refuse by raising. A power cut at any moment leaves
        either a leftover that the next run removes, or a backup that is whole.
        """
        manifest = describe(seal_tree(self.path))
        written = self.path / FILE_NAME
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "w") as file:
            file.write(to_json(manifest))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self.path)
        self.path.rename(self.path.with_name(manifest.label))
        self.committed = manifest
        sync_directory(self.path.parent)
        return manifest


@dataclass(frozen=True, slots=True)
class Repository:
    """Backups below one directory.

    ```
    SERVER/                              one folder a server, mode 0700
    SERVER/.lock                         held by whoever writes there, and by the programs that it runs
    SERVER/20140608T020000Z-full/        a backup: its files, mode 0600, and manifest.json
    SERVER/20140608T030000Z-full.partial a backup that is being written, or that was when its writer was killed
    ```
    """

    root: Path

    def servers(self) -> tuple[str, ...]:
        """The servers of which there are backups, finished or not."""
        if not self.root.is_dir():
            return ()
        names = sorted(folder.name for folder in self.root.iterdir() if folder.is_dir())
        return tuple(name for name in names if self.labels(name) or self.leftovers(name))

    def labels(self, server: str) -> tuple[str, ...]:
        """The finished backups of a server, oldest first."""
        folder = self.root / server
        if not folder.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in folder.iterdir() if is_label(entry.name) and entry.is_dir()))

    def leftovers(self, server: str) -> tuple[str, ...]:
        """Folders of backups that are being written now, or never were finished."""
        folder = self.root / server
        if not folder.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in folder.iterdir() if _is_partial(entry.name)))

    def path(self, server: str, label: str) -> Path:
        return self.root / server / label

    def free_bytes(self) -> int:
        """Room on the file system of the repository, which need not exist yet."""
        place = self.root.absolute()
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def read(self, server: str, label: str) -> Manifest:
        """The manifest of a backup. Raises BackupError where there is no such backup, CorruptBackupError."""
        target = f"{server}/{label}"
        try:
            text = (self.path(server, label) / FILE_NAME).read_text()
        except FileNotFoundError as error:
            if label not in self.labels(server):
                known = self.labels(server)[-3:]
                hint = f"the newest are {', '.join(known)}" if known else f"nothing of {server} is in {self.root}"
                raise BackupError("there is no such backup", operation="read", target=target, hint=hint) from error
            raise CorruptBackupError(f"{FILE_NAME} is missing", operation="read", target=target) from error
        except OSError as error:
            raise BackupError(str(error), operation="read", target=target) from error
        except UnicodeDecodeError as error:
            raise CorruptBackupError(f"{FILE_NAME} is no text", operation="read", target=target) from error
        manifest = from_json(text, target=target)
        if (manifest.server, manifest.label) != (server, label):
            raise CorruptBackupError(
                f"{FILE_NAME} is of {manifest.server}/{manifest.label}", operation="read", target=target
            )
        return manifest

    @contextmanager
    def writing(self, server: str, label: str) -> Iterator[Draft]:
        """A new backup. Unless it is committed within the block, nothing of it stays.

        Holds the server's lock, and first removes what killed runs left. Raises AlreadyRunningError where another run
        holds the lock, BackupError where the label exists, RepositoryFullError where the disk is full.
        """
        target = f"{server}/{label}"
        with _translated(target), self._locked(server) as lock:
            folder = self.root / server
            swept = self.leftovers(server)
            for leftover in swept:
                shutil.rmtree(folder / leftover)
            if (folder / label).exists():
                raise BackupError("exists already", operation="write", target=target)
            partial = folder / f"{label}{_PARTIAL}"
            partial.mkdir(mode=DIRECTORY_MODE)
            draft = Draft(partial, lock, swept)
            try:
                yield draft
            finally:
                if draft.committed is None:
                    # What cannot be removed now is removed by the next run.
                    shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def _locked(self, server: str) -> Iterator[int]:
        folder = self.root / server
        # one by one: `parents` would leave the repository itself open to all
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for place in (self.root, folder):
            place.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _taken(descriptor):
                if time.monotonic() > deadline:
                    raise AlreadyRunningError(
                        "another backup of this server is being written",
                        operation="back up",
                        target=server,
                        hint="try again when it has ended",
                    )
                time.sleep(_POLL)
            yield descriptor
        finally:
            os.close(descriptor)


def list_backups(repository: Repository) -> tuple[ListedBackup, ...]:
    """Every backup of every server, oldest first; a damaged one is in the list with its problem."""
    return tuple(
        _listed(repository, server, label) for server in repository.servers() for label in repository.labels(server)
    )


def check_backup(repository: Repository, server: str, label: str) -> Manifest:
    """Reads every file of a backup and compares it with its checksum. Returns the manifest.

    Raises CorruptBackupError, which names the files, and BackupError where there is no such backup.
    """
    manifest = repository.read(server, label)
    target = f"{server}/{label}"
    try:
        actual = read_tree(repository.path(server, label))
    except OSError as error:
        raise CorruptBackupError(str(error), operation="check", target=target) from error
    found = differences(Inventory(manifest.files, manifest.empty_directories), actual)
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise CorruptBackupError(
            "; ".join(found[:5]) + more,
            operation="check",
            target=target,
            hint="keep it for what is still good in it, and make a new backup now",
        )
    return manifest


def _listed(repository: Repository, server: str, label: str) -> ListedBackup:
    try:
        return ListedBackup(server, label, repository.read(server, label))
    except StorekeeperError as error:
        return ListedBackup(server, label, None, error)


@contextmanager
def _translated(target: str) -> Iterator[None]:
    """A failing disk as an error of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise RepositoryFullError(
                str(error),
                operation="write",
                target=target,
                hint="nothing of it was kept: make room, or name a larger place (STOREKEEPER_BACKUPS)",
            ) from error
        raise BackupError(str(error), operation="write", target=target) from error


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_partial(name: str) -> bool:
    return name.endswith(_PARTIAL) and is_label(name.removesuffix(_PARTIAL))
