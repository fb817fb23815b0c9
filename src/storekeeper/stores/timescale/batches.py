"""Checked columns on their way in: which chunks they touch, in which order they go, and as which bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from storekeeper.catalog import Range
from storekeeper.catalog.ranges import range_of
from storekeeper.errors import ValueFitError
from storekeeper.span import ORIGIN, Span
from storekeeper.stores.sql.arrow import Table, pa
from storekeeper.stores.sql.copy_binary import encode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Rows encoded at once: some megabytes.
_ROWS = 65_536


def moment(microseconds: int) -> datetime:
    """The instant that Arrow's timestamps count from 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def chunks_of(table: Table, time: str, chunk: Span) -> tuple[Table, tuple[Range, ...]]:
    """The rows grouped by chunk (in their own order within one), and the ranges of these chunks in order of time.

    Grouped, because the server keeps one chunk at hand at a time, and goes through its indexes once.
    """
    times = np.asarray(table.column(time).cast(pa.int64()).to_numpy())
    # calendar chunks consist of whole days
    width = (timedelta(days=1) if chunk.calendar else chunk.duration) // _MICROSECOND
    cells = (times - (ORIGIN - _EPOCH) // _MICROSECOND) // width
    different, places = np.unique(cells, return_inverse=True)
    try:
        bounds = [range_of(ORIGIN + int(cell) * width * _MICROSECOND, chunk) for cell in different]
    except (ValueError, OverflowError) as error:
        raise ValueFitError(
            "a time so near to the year 1 or 9999 has no chunk", operation="append", column=time
        ) from error
    ranges = tuple(sorted(set(bounds)))
    order = {piece: place for place, piece in enumerate(ranges)}
    numbers = np.asarray([order[piece] for piece in bounds])[places]
    if len(ranges) > 1 and (np.diff(numbers) < 0).any():
        table = table.take(pa.array(np.argsort(numbers, kind="stable")))
    return table, ranges


def each_chunk(table: Table, ranges: Sequence[Range], time: str) -> Iterator[Table]:
    """The rows of one chunk after another, of a table that `chunks_of` has grouped."""
    times = np.asarray(table.column(time).cast(pa.int64()).to_numpy())
    lowers = [(piece.lower - _EPOCH) // _MICROSECOND for piece in ranges]
    places = np.searchsorted(lowers, times, side="right")
    ends = [*np.flatnonzero(np.diff(places)) + 1, len(times)]
    start = 0
    for end in ends:
        yield table.slice(start, end - start)
        start = int(end)


def earliest_of(table: Table, time: str) -> datetime:
    return moment(int(np.asarray(table.column(time).cast(pa.int64()).to_numpy()).min()))


def latest_of(table: Table, time: str) -> datetime:
    return moment(int(np.asarray(table.column(time).cast(pa.int64()).to_numpy()).max()))


def encoded(table: Table, target: sa.Table) -> Iterator[bytes]:
    """The rows as one stream of COPY BINARY, for the columns of `target` that the table has, in its order."""
    types: list[Any] = [target.columns[name].type for name in table.column_names]
    batches = table.combine_chunks().to_batches(max_chunksize=_ROWS)
    for place, batch in enumerate(batches):
        yield encode(batch, types, header=place == 0, trailer=place == len(batches) - 1)
