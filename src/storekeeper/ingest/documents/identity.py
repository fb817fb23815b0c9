"""Ids of documents that are the same whenever the same record of the same file is read again. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from bson import ObjectId

from storekeeper.ingest.mapping import ColumnSource

_MOST_SECONDS = 0xFFFFFFFF


def seed_of(
    dataset: str, form: str, mapping: Mapping[str, ColumnSource], constants: Mapping[str, str], *, before: int
) -> bytes:
    """What tells the documents of one way to read a file from those of another. `before`: how many times this content
    was ingested already; each time has documents of its own."""
    parts = [
        dataset,
        form,
        sorted((name, repr(source)) for name, source in mapping.items()),
        sorted(constants.items()),
        before,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def id_of(seed: bytes, mark: bytes, moment: datetime) -> ObjectId:
    """The id of a record: its time, as ids begin with, and eight bytes of a digest of the seed and the `mark`, which is
    a digest of the file's content up to the record's end. Times that four bytes cannot count are the nearest."""
    seconds = min(max(int(moment.timestamp()), 0), _MOST_SECONDS)
    return ObjectId(seconds.to_bytes(4, "big") + hashlib.sha256(seed + mark).digest()[:8])
