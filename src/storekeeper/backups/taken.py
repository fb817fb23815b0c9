"""What an engine hands over: the plan of a backup, and what it says of the files that it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storekeeper.backups.manifest import Inventory, Kind
from storekeeper.backups.running import Errand


def nothing_to_confirm(_inventory: Inventory) -> None:
    """For an engine whose server keeps no list of what it sent."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The engine's part of a manifest (see Manifest).

    `confirm` is given the checksums of what lies on the disk and raises CorruptBackupError where that is not what the
    server sent.
    """

    engine: str
    server_version: str
    identity: str
    consistency: str
    position: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    confirm: Callable[[Inventory], None] = nothing_to_confirm


@dataclass(frozen=True, slots=True)
class Plan:
    """A backup that could be made: of which server and stores, how large at most about, and the call that makes it.

    `identity` is the server's, empty where it has none that lasts. `needed_bytes` is what the repository must have
    room for, as far as that is known beforehand, `chunk_bytes` the most that the engine takes at once.
    `take(folder, errand)` writes into a folder.
    """

    server: str
    stores: tuple[str, ...]
    kind: Kind
    identity: str
    bytes: int
    needed_bytes: int
    chunk_bytes: int
    detail: str
    take: Callable[[Path, Errand], Taken]
