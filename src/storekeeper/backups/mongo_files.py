"""The layout of mongodump: how files are named, and how documents lie in them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from urllib.parse import quote_plus

from storekeeper.errors import BackupError

_LONGEST = 238  # bytes, so that the longest ending still fits a file name
_KEPT = 208


def bson_path(folder: Path, collection: str) -> Path:
    """The file of a collection's documents."""
    return folder / f"{_escaped(collection)}.bson"


def metadata_path(folder: Path, collection: str) -> Path:
    """The file of a collection's options and indexes."""
    return folder / f"{_escaped(collection)}.metadata.json"


def document_count(batch: bytes) -> int:
    """How many BSON documents lie one after the other in a batch. Raises BackupError where they don't fill it."""
    count = at = 0
    while at < len(batch):
        length = int.from_bytes(batch[at : at + 4], "little")
        if length < 5 or at + length > len(batch):
            raise BackupError("a batch of documents is cut off", operation="back up", target="mongo")
        at += length
        count += 1
    return count


def _escaped(collection: str) -> str:
    """A name too long for a file is cut, and told apart by its digest; the metadata hold the whole."""
    name = quote_plus(collection)
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    return f"{name[:_KEPT]}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
