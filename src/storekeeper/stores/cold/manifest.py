"""Manifests: what a part of the archive holds, as JSON that is written last. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from storekeeper.catalog import Range
from storekeeper.errors import DamagedArchiveError
from storekeeper.timescale.archived import ColdFile

FORMAT: Final = "storekeeper-archive/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One part. `columns` say each column's name, its type on the server, in Arrow, and digits and decimals of numbers;
    `declaration` is the digest of the dataset's declaration, `content` what the server said of the rows."""

    dataset: str
    part: str
    chunk: str
    bounds: Range
    time: str
    sorted_by: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    declaration: str
    content: str
    written_at: datetime
    files: tuple[ColdFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def to_json(self) -> bytes:
        document = {
            "format": FORMAT,
            "dataset": self.dataset,
            "part": self.part,
            "chunk": {"name": self.chunk, "from": _text(self.bounds.lower), "to": _text(self.bounds.upper)},
            "time": self.time,
            "sorted_by": list(self.sorted_by),
            "columns": [dict(column) for column in self.columns],
            "declaration": self.declaration,
            "content": self.content,
            "written_at": _text(self.written_at),
            "rows": self.rows,
            "bytes": sum(file.bytes for file in self.files),
            "files": [
                {
                    "path": file.path,
                    "sha256": file.sha256,
                    "rows": file.rows,
                    "bytes": file.bytes,
                    "earliest": _text(file.earliest),
                    "latest": _text(file.latest),
                }
                for file in self.files
            ],
        }
        return json.dumps(document, indent=1, sort_keys=False).encode() + b"\n"


def manifest_of(content: bytes, *, target: str) -> Manifest:
    """Raises DamagedArchiveError where it is not what `to_json` wrote."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        chunk = document["chunk"]
        return Manifest(
            document["dataset"],
            document["part"],
            chunk["name"],
            Range(_moment(chunk["from"]), _moment(chunk["to"])),
            document["time"],
            tuple(document["sorted_by"]),
            tuple(document["columns"]),
            document["declaration"],
            document["content"],
            _moment(document["written_at"]),
            tuple(
                ColdFile(
                    file["path"],
                    file["sha256"],
                    file["rows"],
                    file["bytes"],
                    _moment(file["earliest"]),
                    _moment(file["latest"]),
                    document["part"],
                )
                for file in document["files"]
            ),
        )
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DamagedArchiveError(
            f"is no manifest: {error}", operation="read archive", target=target, hint="restore it from a copy"
        ) from error


def described(columns: Sequence[tuple[str, str]], schema: Any) -> tuple[Mapping[str, Any], ...]:
    """The columns of a manifest: names and types of the server with the types of the files."""
    found = []
    for (name, sql), field in zip(columns, schema, strict=True):
        column: dict[str, Any] = {"name": name, "type": sql, "arrow": str(field.type)}
        if hasattr(field.type, "precision"):
            column |= {"precision": field.type.precision, "scale": field.type.scale}
        found.append(column)
    return tuple(found)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
