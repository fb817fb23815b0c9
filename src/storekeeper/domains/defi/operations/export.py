# Generated from export_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Events are written to a Parquet file."""

from __future__ import annotations

from contextlib import closing
from operator import call as to_thread
from pathlib import Path

from sqlalchemy.orm import Session

from storekeeper.domains.defi.archive import Archive, EventFile
from storekeeper.domains.defi.operations.event_store import all_rows


def export(
    session: Session,
    path: Path,
    *,
    after: int = 0,
    up_to: int | None = None,
    archive: Archive | None = None,
    batch: int = 10_000,
) -> int:
    """Writes what `read_all` gives to a Parquet file, payload and metadata as JSON text, and returns how many events.

    The file appears when it is whole: before that, what was there stays. No more than `batch` events are held at once.
    """
    file = to_thread(EventFile, path.with_name(f".{path.name}.partial"))
    try:
        with closing(all_rows(session, after, up_to, archive, batch)) as batches:
            for rows in batches:
                to_thread(file.write, rows)
        to_thread(file.seal)
        to_thread(file.publish, path)
    finally:
        to_thread(file.discard)
    return file.rows
