"""The manifest of a backup: what it is of, which files it has, and how its text guards itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, TypeAdapter, ValidationError

from storekeeper.clock import as_utc
from storekeeper.errors import BackupError, CorruptBackupError

FORMAT = 1
FILE_NAME = "manifest.json"

#: full: the server as it is. dump: its databases as statements and rows, where the server lets nobody copy its files.
Kind = Literal["full", "dump"]

#: An instant, in UTC.
Moment = Annotated[datetime, AfterValidator(as_utc)]

_LABEL = re.compile(r"\d{8}T\d{6}Z-[a-z]+")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a backup: its path below the backup's folder, with slashes, its size, its SHA-256 in hexadecimal."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """All files of a backup, ordered by path, and the folders that are empty and must be there nevertheless."""

    files: tuple[StoredFile, ...]
    empty_directories: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a finished backup says of itself. It is written last: a backup without one does not exist.

    `server` is the folder in the repository, `stores` are those that live on that server. `identity` tells servers
    apart (a system identifier, a replication id). `as_of` is the moment the backup was asked for, `started` and
    `finished` are the clock's (all UTC), `seconds` was measured. `position` is where the engine's log stood, so that
    later changes can be joined on (WAL positions and timeline, operation time, replication offset). `counts` is what a
    restored copy must have, `details` is of the engine alone, `tools` names each program that took part, with its
    version. `state` "checksummed": every file was read back and has a checksum. It does not say that it was restored.
    """

    label: str
    server: str
    stores: tuple[str, ...]
    kind: Kind
    engine: str
    server_version: str
    identity: str
    as_of: Moment
    started: Moment
    finished: Moment
    seconds: float
    consistency: str
    files: tuple[StoredFile, ...]
    empty_directories: tuple[str, ...]
    bytes: int
    storekeeper: str
    position: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    parent: str | None = None
    encryption: None = None
    state: Literal["checksummed"] = "checksummed"
    format: int = FORMAT


def label_of(as_of: datetime, kind: Kind) -> str:
    """The name of a backup: 20140608T020000Z-full. Sorts by time."""
    return f"{as_utc(as_of):%Y%m%dT%H%M%SZ}-{kind}"


def is_label(name: str) -> bool:
    return _LABEL.fullmatch(name) is not None


def to_json(manifest: Manifest) -> str:
    """The text of a manifest; its `checksum` covers everything else in it."""
    plain: dict[str, Any] = _adapter().dump_python(manifest, mode="json")
    return json.dumps({**plain, "checksum": _checksum(plain)}, indent=1) + "\n"


def from_json(text: str, *, target: str) -> Manifest:
    """The manifest that `to_json` wrote.

    Raises CorruptBackupError where the text is not as it was written, BackupError where a newer storekeeper wrote it.
    """
    try:
        plain = json.loads(text)
        found = plain.pop("format")
        checksum = plain.pop("checksum")
        plain["format"] = found
        intact = checksum == _checksum(plain)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CorruptBackupError(f"{FILE_NAME} is no manifest ({error})", operation="read", target=target) from error
    if not intact:
        raise CorruptBackupError(f"{FILE_NAME} differs from what was written", operation="read", target=target)
    if found != FORMAT:
        raise BackupError(
            f"its manifest has format {found}, and this storekeeper reads {FORMAT}",
            operation="read",
            target=target,
            hint="read it with the version of storekeeper that wrote it, or a newer one",
        )
    try:
        manifest: Manifest = _adapter().validate_python(plain)
    except ValidationError as error:
        raise CorruptBackupError(f"{FILE_NAME}: {error}", operation="read", target=target) from error
    for path in (*(file.path for file in manifest.files), *manifest.empty_directories):
        # a manifest must not lead a reader out of its folder
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not path:
            raise CorruptBackupError(f"{FILE_NAME} names {path!r}", operation="read", target=target)
    return manifest


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _checksum(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
