"""Reads a tree of files back: modes put right, everything on the disk, every file with its checksum."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path

from storekeeper.backups.manifest import FILE_NAME, Inventory, StoredFile
from storekeeper.errors import BackupError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_THREADS = 4  # hashing and fsync both let other threads run

_Reader = Callable[[Path, Path], StoredFile]


def seal_tree(root: Path) -> Inventory:
    """Gives a freshly written tree its modes, makes it survive a power cut, and takes its checksums.

    Raises BackupError for what is neither file nor directory, OSError.
    """
    files, directories, empty = _walk(root)
    for directory in directories:
        directory.chmod(DIRECTORY_MODE)
    sealed = _in_threads(_sealed_file, root, files)
    for directory in reversed(directories):
        sync_directory(directory)
    return Inventory(sealed, empty)


def read_tree(root: Path) -> Inventory:
    """What a tree holds now; its manifest apart. Raises as seal_tree, and changes nothing."""
    files, _, empty = _walk(root)
    return Inventory(_in_threads(_read_file, root, [file for file in files if file != root / FILE_NAME]), empty)


def differences(wanted: Inventory, actual: Inventory) -> list[str]:
    """One line for each file that is missing, changed or not accounted for. Empty where all is well."""
    present = {file.path: file for file in actual.files}
    expected = {file.path for file in wanted.files}
    lines: list[str] = []
    for file in wanted.files:
        found = present.get(file.path)
        if found is None:
            lines.append(f"{file.path} is missing")
        elif found.bytes != file.bytes:
            lines.append(f"{file.path} has {found.bytes} bytes instead of {file.bytes}")
        elif found.sha256 != file.sha256:
            lines.append(f"{file.path} has another checksum")
    lines += [f"{path} is not in the manifest" for path in sorted(present.keys() - expected)]
    folders = set(actual.empty_directories) | {path.rpartition("/")[0] for path in present}
    lines += [f"{path}/ is missing" for path in wanted.empty_directories if path not in folders]
    return lines


def sync_directory(directory: Path) -> None:
    """The names in a directory, on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(root: Path) -> tuple[list[Path], list[Path], tuple[str, ...]]:
    """Files, directories (each before what is in it), and the paths of the empty ones."""
    files: list[Path] = []
    directories: list[Path] = []
    empty: list[str] = []
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        directories.append(directory)
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                files.append(Path(entry.path))
            else:
                kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
                raise BackupError(
                    f"{entry.path} is no file (type {kind:o})", operation="take checksums of", target=str(root)
                )
        if not entries and directory != root:
            empty.append(directory.relative_to(root).as_posix())
    return files, directories, tuple(sorted(empty))


def _in_threads(read: _Reader, root: Path, files: Iterable[Path]) -> tuple[StoredFile, ...]:
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="storekeeper-checksum") as threads:
        found = threads.map(lambda file: read(root, file), files)
        return tuple(sorted(found, key=lambda file: file.path))


def _sealed_file(root: Path, path: Path) -> StoredFile:
    with path.open("rb") as opened:
        os.fchmod(opened.fileno(), FILE_MODE)
        os.fsync(opened.fileno())
        return _described(root, path, opened)


def _read_file(root: Path, path: Path) -> StoredFile:
    with path.open("rb") as opened:
        return _described(root, path, opened)


def _described(root: Path, path: Path, opened: BufferedReader) -> StoredFile:
    digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return StoredFile(path.relative_to(root).as_posix(), opened.tell(), digest)
