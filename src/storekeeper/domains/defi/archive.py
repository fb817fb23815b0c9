"""Events in Parquet files: written whole or not at all, read batch by batch, and refused where they were changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storekeeper import Settings, StorekeeperError
from storekeeper.domains.defi.errors import DamagedArchiveError
from storekeeper.domains.defi.events import EventRow

_FIELDS: Final[list[pa.Field[Any]]] = [
    pa.field("id", pa.int64(), nullable=False),
    pa.field("aggregate_type", pa.string(), nullable=False),
    pa.field("aggregate_id", pa.string(), nullable=False),
    pa.field("version", pa.int32(), nullable=False),
    pa.field("event_type", pa.string(), nullable=False),
    pa.field("payload", pa.string(), nullable=False),  # JSON
    pa.field("metadata", pa.string(), nullable=False),  # JSON
    pa.field("occurred_at", pa.timestamp("us", tz="UTC"), nullable=False),
]
SCHEMA: Final = pa.schema(_FIELDS)


def archive_directory(settings: Settings) -> Path:
    """Where the events of an installation are archived to: for its one database alone."""
    if isinstance(settings.archive, str):
        raise StorekeeperError(
            f"events are archived to a directory, and archive is {settings.archive}",
            operation="archive",
            target="defi.event_store",
            hint="set archive to a directory that all machines see, or leave the job defi.archive out",
        )
    return (settings.archive or settings.directory / "archive").absolute() / "defi" / "event_store"


class EventFile:
    """A file of events that is being written under a hidden name beside its target.

    | call | does |
    | --- | --- |
    | `file.write(rows)` | appends them, as one row group |
    | `file.seal()` | puts all on the disk, and returns the sha256 of the file |
    | `file.publish(path)` | gives it its name, in the same directory; before that nobody sees it |
    | `file.discard()` | takes it away, unless it was published |
    """

    def __init__(self, partial: Path) -> None:
        self.rows = 0
        self._partial = partial
        self._writer = pq.ParquetWriter(partial, SCHEMA, compression="zstd")

    def write(self, rows: Sequence[EventRow]) -> None:
        columns = list(zip(*rows, strict=True))
        columns[2] = tuple(str(aggregate_id) for aggregate_id in columns[2])
        arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
        self.rows += len(rows)

    def seal(self) -> str:
        self._writer.close()
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
            return hashlib.file_digest(file, "sha256").hexdigest()

    def publish(self, path: Path) -> None:
        self._partial.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard(self) -> None:
        self._writer.close()
        self._partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Archive:
    """A directory of archived events, which belongs to one database: that knows which files count, and their sums.

    A file's checksum is verified at its first reading by this object. `Archive.of(platform.settings)` is what the job
    `defi.archive` writes to.
    """

    directory: Path
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Archive:
        """The archive of an installation, from the setting `archive`."""
        return cls(archive_directory(settings))

    def rows(
        self, name: str, sha256: str, *, after: int, up_to: int, aggregate_id: UUID | None = None, batch: int = 10_000
    ) -> Generator[list[EventRow]]:
        """The events of a file in their order, in batches: those with `after` < id <= `up_to`, or, of one aggregate,
        those of such versions. Raises DamagedArchiveError."""
        self._verify(name, sha256)
        with pq.ParquetFile(self.directory / name) as file:
            for found in file.iter_batches(batch_size=batch):
                place = found.column("id" if aggregate_id is None else "version")
                wanted = pc.and_(pc.greater(place, pa.scalar(after)), pc.less_equal(place, pa.scalar(up_to)))
                if aggregate_id is not None:
                    same = pc.equal(found.column("aggregate_id"), pa.scalar(str(aggregate_id)))
                    wanted = pc.and_(wanted, same)
                kept = found.filter(wanted)
                if kept.num_rows:
                    columns = [kept.column(number).to_pylist() for number in range(kept.num_columns)]
                    columns[2] = [UUID(aggregate) for aggregate in columns[2]]
                    yield [EventRow(*values) for values in zip(*columns, strict=True)]

    def _verify(self, name: str, sha256: str) -> None:
        if name in self._verified:
            return
        path = self.directory / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise DamagedArchiveError(
                f"{name} is missing", operation="read archive", target=str(self.directory), hint=_HINT
            ) from error
        if found != sha256:
            raise DamagedArchiveError(
                f"{name} has another checksum than when it was written",
                operation="read archive",
                target=str(self.directory),
                hint=_HINT,
            )
        self._verified.add(name)


_HINT: Final = "give the directory that events were archived to, or restore the file from a backup"
