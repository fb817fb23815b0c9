"""Checked columns on their way in: which chunks they touch, in which order they go, and as which bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storekeeper.catalog import Hypertable, Range
from storekeeper.catalog.ranges import range_of
from storekeeper.errors import ValueFitError
from storekeeper.span import ORIGIN, Span
from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.stores.sql.copy_binary import encode
from storekeeper.stores.sql.intake import kind_of
from storekeeper.timescale.incoming import Term

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Rows encoded at once: some megabytes.
_ROWS = 65_536
_BITS = 62

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a COPY BINARY stream, of rows of this chunk; `last` where the stream ends with them."""

    chunk: Range | None
    block: bytes
    last: bool


def moment(microseconds: int) -> datetime:
    """The instant that Arrow's timestamps count from 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def times_of(table: Table, time: str) -> Numbers:
    """The times as microseconds since 1970."""
    return np.asarray(table.column(time).cast(pa.int64()).to_numpy())


def chunks_of(table: Table, hypertable: Hypertable, order: Sequence[Term] = ()) -> tuple[Table, tuple[Range, ...]]:
    """The rows grouped by chunk, within one by `order` (else, and of equal ones, in their own), and the ranges of
    these chunks in order of time.

    Grouped, because the server keeps one chunk at hand at a time. In the order of the index, because that then grows at
    its end: measured at 1.3 to 1.6 times the speed of rows in the order of time. And so that writers of the same keys
    meet them in the same order: they wait for each other, and do not deadlock.
    """
    times = times_of(table, hypertable.time)
    cells = _cells(times, hypertable.chunk)
    different, places = np.unique(cells, return_inverse=True) if len(cells) else (cells, cells)
    ranges, numbers = _ranges(different, places, hypertable)
    rows = _sorted(numbers, [(_ranks(table, term, times, hypertable.time), term.descending) for term in order])
    return (table if rows is None else table.take(pa.array(rows))), ranges


def without_repeats(table: Table, key: Sequence[str], keep: Literal["first", "last"]) -> Table:
    """Of neighbouring rows with one key the first or the last; a key with a NULL in it is no key."""
    if table.num_rows < 2:
        return table
    same = np.ones(table.num_rows - 1, dtype=np.bool_)
    for name in key:
        column = table.column(name).combine_chunks()
        equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1)).fill_null(False)
        same &= equal.to_numpy(zero_copy_only=False)
    if not same.any():
        return table
    kept = np.concatenate(([True], ~same)) if keep == "first" else np.concatenate((~same, [True]))
    return table.filter(pa.array(kept))


def each_chunk(table: Table, ranges: Sequence[Range], time: str) -> Iterator[tuple[Range, Table]]:
    """The rows of one chunk after another, of a table that `chunks_of` has grouped."""
    if not table.num_rows:
        return
    lowers = [(piece.lower - _EPOCH) // _MICROSECOND for piece in ranges]
    places = np.searchsorted(lowers, times_of(table, time), side="right") - 1
    starts = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
        yield ranges[int(places[start])], table.slice(start, end - start)


def several_chunks(
    table: Table, ranges: Sequence[Range], time: str, rows: int
) -> Iterator[tuple[tuple[Range, ...], Table]]:
    """The rows of whole chunks, about `rows` of them at a time."""
    chunks: list[Range] = []
    held: list[Table] = []
    count = 0
    for chunk, part in each_chunk(table, ranges, time):
        chunks.append(chunk)
        held.append(part)
        count += part.num_rows
        if count >= rows:
            yield tuple(chunks), pa.concat_tables(held)
            chunks, held, count = [], [], 0
    if held:
        yield tuple(chunks), pa.concat_tables(held)


def shares(table: Table, ranges: Sequence[Range], time: str, count: int) -> list[tuple[tuple[Range, ...], Table]]:
    """The rows of whole chunks in at most `count` parts of about one size."""
    size = -(-table.num_rows // count)
    pieces = list(several_chunks(table, ranges, time, size))
    rest = pieces[count - 1 :]
    if len(rest) < 2:
        return pieces
    last = tuple(chunk for chunks, _ in rest for chunk in chunks), pa.concat_tables([part for _, part in rest])
    return [*pieces[: count - 1], last]


def earliest_of(table: Table, time: str) -> datetime:
    return moment(int(times_of(table, time).min()))


def latest_of(table: Table, time: str) -> datetime:
    return moment(int(times_of(table, time).max()))


def rows_before(table: Table, time: str, boundary: datetime) -> int:
    """How many rows are older."""
    return int((times_of(table, time) < (boundary - _EPOCH) // _MICROSECOND).sum())


def encoded(table: Table, target: sa.Table) -> Iterator[bytes]:
    """The rows as one stream of COPY BINARY, for the columns of `target` that the table has, in its order."""
    types: list[Any] = [target.columns[name].type for name in table.column_names]
    batches = table.combine_chunks().to_batches(max_chunksize=_ROWS)
    for place, batch in enumerate(batches):
        yield encode(batch, types, header=place == 0, trailer=place == len(batches) - 1)


def parts(streams: Iterable[tuple[Range | None, Table]], target: sa.Table) -> Iterator[Part]:
    """Each table as one stream of COPY BINARY."""
    for chunk, rows in streams:
        held: bytes | None = None
        for block in encoded(rows, target):
            if held is not None:
                yield Part(chunk, held, last=False)
            held = block
        if held is not None:
            yield Part(chunk, held, last=True)


def merge_key(hypertable: Hypertable) -> tuple[str, ...] | None:
    """The natural key, where two of its values are equal here exactly if they are to the server."""
    for name in hypertable.natural_key:
        type_ = hypertable.table.columns[name].type
        if getattr(type_, "collation", None) or kind_of(type_).name in ("float8", "float4", "json", "jsonb"):
            return None
    return hypertable.natural_key


def _cells(times: Numbers, chunk: Span) -> Numbers:
    # calendar chunks consist of whole days
    width = _width(chunk)
    return (times - (ORIGIN - _EPOCH) // _MICROSECOND) // width


def _width(chunk: Span) -> int:
    return int((timedelta(days=1) if chunk.calendar else chunk.duration) // _MICROSECOND)


def _ranges(different: Numbers, places: npt.NDArray[Any], hypertable: Hypertable) -> tuple[tuple[Range, ...], Numbers]:
    """The chunks, and for each row the number of its own."""
    width = _width(hypertable.chunk)
    try:
        bounds = [range_of(ORIGIN + int(cell) * width * _MICROSECOND, hypertable.chunk) for cell in different]
    except (ValueError, OverflowError) as error:
        raise ValueFitError(
            "a time so near to the year 1 or 9999 has no chunk", operation="append", column=hypertable.time
        ) from error
    ranges = tuple(sorted(set(bounds)))
    order = {piece: place for place, piece in enumerate(ranges)}
    return ranges, np.asarray([order[piece] for piece in bounds], dtype=np.int64)[places]


def _ranks(table: Table, term: Term, times: Numbers, time: str) -> Numbers:
    """Numbers that are ordered as the values of a column are: by bytes, whatever the server's collation is."""
    if term.column == time:
        return times
    column = table.column(term.column).combine_chunks()
    if (pa.types.is_integer(column.type) or pa.types.is_date32(column.type)) and not column.null_count:
        return np.asarray(
            column.cast(pa.int64() if pa.types.is_integer(column.type) else pa.int32()).to_numpy()
        ).astype(np.int64)
    codes = column.dictionary_encode()
    dictionary = codes.dictionary
    ranks = np.empty(len(dictionary) + 1, dtype=np.int64)
    ranks[np.asarray(pc.sort_indices(dictionary).to_numpy())] = np.arange(len(dictionary))
    ranks[-1] = len(dictionary)  # NULLs come last
    ordered: Numbers = ranks[np.asarray(codes.indices.fill_null(len(dictionary)).to_numpy())]
    return ordered


def _sorted(chunks: Numbers, columns: Sequence[tuple[Numbers, bool]]) -> npt.NDArray[Any] | None:
    """The places of the rows in order, stable; None where they are in order already."""
    if len(chunks) < 2:
        return None
    keys = [chunks, *(-ranks if descending else ranks for ranks, descending in columns)]
    spans = [(key, int(key.min()), int(key.max())) for key in keys]
    bits = sum((top - bottom).bit_length() for _, bottom, top in spans)
    if bits <= _BITS:  # all of them as one number
        packed = np.zeros(len(chunks), dtype=np.int64)
        for key, bottom, top in spans:
            packed <<= (top - bottom).bit_length()
            packed |= key - bottom
        if (packed[1:] >= packed[:-1]).all():
            return None
        # not stable, but with the processor's vectors several times as quick; equal ones are put right
        rows = np.argsort(packed)
        ordered = packed[rows]
        if not (ordered[1:] == ordered[:-1]).any():
            return rows
        return np.argsort(packed, kind="stable")
    rows = np.lexsort(tuple(reversed(keys)))
    return None if (rows == np.arange(len(rows))).all() else rows
