"""Events are written to a Parquet file."""

from __future__ import annotations

from asyncio import to_thread
from contextlib import aclosing
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper.domains.defi.archive import Archive, EventFile
from storekeeper.domains.defi.operations.event_store_async import all_rows


async def export(
    session: AsyncSession,
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
    file = await to_thread(EventFile, path.with_name(f".{path.name}.partial"))
    try:
        async with aclosing(all_rows(session, after, up_to, archive, batch)) as batches:
            async for rows in batches:
                await to_thread(file.write, rows)
        await to_thread(file.seal)
        await to_thread(file.publish, path)
    finally:
        await to_thread(file.discard)
    return file.rows
