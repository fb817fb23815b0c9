"""Checked columns on their way in: their times, their keys, and their bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storekeeper.catalog import Hypertable, Range
from storekeeper.stores.sql.arrow import Table, pa, pc
from storekeeper.stores.sql.copy_binary import encode
from storekeeper.stores.sql.intake import kind_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
#: Rows encoded at once: some megabytes.
_ROWS = 65_536

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a COPY BINARY stream, of rows of this chunk; `last` where the stream ends with them."""

    chunk: Range | None
    block: bytes
    last: bool


def moment(microseconds: int) -> datetime:
    """The instant that Arrow's timestamps count from 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def times_of(table: Table, time: str) -> Numbers:
    """The times as microseconds since 1970."""
    return np.asarray(table.column(time).cast(pa.int64()).to_numpy())


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


def earliest_of(table: Table, time: str) -> datetime:
    return moment(int(times_of(table, time).min()))


def latest_of(table: Table, time: str) -> datetime:
    return moment(int(times_of(table, time).max()))


def rows_before(table: Table, time: str, boundary: datetime) -> int:
    """How many rows are older."""
    return int((times_of(table, time) < (boundary - EPOCH) // MICROSECOND).sum())


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
        padded = isinstance(type_, sa.CHAR)  # to the server "a" and "a " are one
        if padded or getattr(type_, "collation", None) or kind_of(type_).name in ("float8", "float4", "json", "jsonb"):
            return None
    return hypertable.natural_key
