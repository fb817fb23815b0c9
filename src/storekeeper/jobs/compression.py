"""Compresses the chunks that are old enough, and those again that rows came to since; where the engine cannot, says so
and leaves them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.catalog import Hypertable
from storekeeper.errors import NotSupportedError
from storekeeper.jobs.each import each
from storekeeper.jobs.foreseen import period
from storekeeper.jobs.job import Action, Skipped, Steps
from storekeeper.timescale.lifecycle import due_for_compression

if TYPE_CHECKING:
    from storekeeper.platform import Platform


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a chunk; one reason a dataset that has such chunks on an engine without a columnstore."""

    def compress(hypertable: Hypertable) -> Steps:
        store = platform.timescale
        due = due_for_compression(hypertable, store.chunks(hypertable), as_of)
        try:
            compressed = store.compress(hypertable, as_of=as_of, dry_run=dry_run)
        except NotSupportedError as error:
            yield Skipped("compress", hypertable.name, f"{len(due)} chunks are due, but {error.cause}")
            return
        for chunk in compressed:
            verb = "recompress" if chunk.compressed else "compress"
            yield Action(verb, chunk.label, period([chunk.range]), bytes=chunk.bytes)

    return each(platform.catalog.hypertables, compress)
