"""COPY BINARY: Arrow columns as PostgreSQL's COPY (FORMAT binary) takes them, without a loop over rows.

Every column becomes either cells of one width (big-endian numbers behind their four length bytes) or texts that are cut
out of Arrow's own buffer. Neighbouring cells of one width without NULLs are laid side by side and moved as one. The
rows' places in the result follow from a running sum of their sizes; moving is an indexed assignment over a view in
which every byte begins an element, so that a copy of n bytes at any offset costs one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storekeeper.stores.sql.arrow import Array, DataType, RecordBatch, pa
from storekeeper.stores.sql.intake.convert import convert
from storekeeper.stores.sql.intake.kinds import Kind, kind_of

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"

#: Rows that are laid out at once: what they touch stays in the processor's cache.
_ROWS = 16_384
#: Texts of more lengths than this are moved one by one.
_LENGTHS = 48
_EPOCH_MICROSECONDS = 946_684_800_000_000  # PostgreSQL counts from 2000-01-01
_EPOCH_DAYS = 10_957
_NULL = np.frombuffer(b"\xff\xff\xff\xff", dtype="V4")[0]
_NEGATIVE = 0x4000

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.intp]


def encode(
    batch: RecordBatch,
    types: Sequence[sa.types.TypeEngine[Any] | str],
    *,
    header: bool,
    trailer: bool,
) -> bytes:
    """The rows of `batch` as COPY BINARY, its columns meant for columns of `types` (one each, in order).

    A stream is one header, any number of batches, one trailer. Columns that are not of the kind's Arrow type are
    converted exactly. Raises ValueFitError where a value does not fit (`row` counts within the batch), DeclarationError
    for a type that is not known here.
    """
    kinds = [kind_of(type_) for type_ in types]
    if len(kinds) != batch.num_columns:
        raise ValueError(f"{batch.num_columns} columns, {len(kinds)} types")
    columns = [
        convert(column, kind, column=name)
        for name, column, kind in zip(batch.schema.names, batch.columns, kinds, strict=True)
    ]
    pieces = [HEADER] if header else []
    for start in range(0, batch.num_rows, _ROWS):
        count = min(_ROWS, batch.num_rows - start)
        cells = [_cells(column.slice(start, count), kind) for column, kind in zip(columns, kinds, strict=True)]
        pieces.append(_laid_out(cells, count))
    if trailer:
        pieces.append(TRAILER)
    return b"".join(pieces)


@dataclass(slots=True)
class _Fixed:
    """Cells of one width, length bytes included: (rows, width)."""

    cells: Bytes
    valid: npt.NDArray[np.bool_] | None

    def sizes(self) -> Rows | int:
        width = self.cells.shape[1]
        return width if self.valid is None else np.where(self.valid, width, 4)

    def place(self, out: Bytes, at: Rows) -> None:
        cells = self.cells.view(f"V{self.cells.shape[1]}")[:, 0]
        if self.valid is None:
            _anywhere(out, self.cells.shape[1])[at] = cells
        else:
            _anywhere(out, self.cells.shape[1])[at[self.valid]] = cells[self.valid]
            _anywhere(out, 4)[at[~self.valid]] = _NULL


@dataclass(slots=True)
class _Varying:
    """Texts within a buffer; `lead` goes before each (jsonb's version byte)."""

    text: Bytes
    starts: Rows
    lengths: Rows
    valid: npt.NDArray[np.bool_] | None
    lead: bytes = b""

    def sizes(self) -> Rows | int:
        sizes = self.lengths + (4 + len(self.lead))
        return sizes if self.valid is None else np.where(self.valid, sizes, 4)

    def place(self, out: Bytes, at: Rows) -> None:
        starts, lengths = self.starts, self.lengths
        if self.valid is not None:
            _anywhere(out, 4)[at[~self.valid]] = _NULL
            at, starts, lengths = at[self.valid], starts[self.valid], lengths[self.valid]
        prefix = np.empty((len(at), 4 + len(self.lead)), dtype=np.uint8)
        prefix[:, :4].view(">i4")[:, 0] = lengths + len(self.lead)
        prefix[:, 4:] = np.frombuffer(self.lead, dtype=np.uint8)
        _anywhere(out, prefix.shape[1])[at] = prefix.view(f"V{prefix.shape[1]}")[:, 0]
        at = at + prefix.shape[1]
        different = np.unique(lengths)
        if len(different) <= _LENGTHS:
            for length in different[different > 0]:
                rows = slice(None) if len(different) == 1 else np.nonzero(lengths == length)[0]
                _anywhere(out, int(length))[at[rows]] = _anywhere(self.text, int(length))[starts[rows]]
            return
        target, source = memoryview(out), memoryview(self.text)  # type: ignore[arg-type]  # numpy arrays are buffers
        for to, begin, length in zip(at.tolist(), starts.tolist(), lengths.tolist(), strict=True):
            target[to : to + length] = source[begin : begin + length]


def _anywhere(buffer: Bytes, width: int) -> npt.NDArray[np.void]:
    """`buffer` as elements of `width` bytes that begin at every byte (they overlap)."""
    return np.ndarray((max(len(buffer) - width + 1, 0),), dtype=f"V{width}", buffer=buffer, strides=(1,))


def _laid_out(fields: Sequence[_Fixed | _Varying], rows: int) -> bytes:
    """Rows of fields, each behind its field count."""
    count = np.empty((rows, 2), dtype=np.uint8)
    count.view(">i2")[:, 0] = len(fields)
    merged: list[_Fixed | _Varying] = []
    run = [count]
    for field in fields:
        if isinstance(field, _Fixed) and field.valid is None:
            run.append(field.cells)
            continue
        if run:
            merged.append(_Fixed(np.hstack(run), None))
            run = []
        merged.append(field)
    if run:
        merged.append(_Fixed(np.hstack(run), None))
    if len(merged) == 1 and isinstance(merged[0], _Fixed):
        return merged[0].cells.tobytes()
    sizes = [field.sizes() for field in merged]
    total = np.full(rows, sum(size for size in sizes if isinstance(size, int)), dtype=np.intp)
    for size in sizes:
        if not isinstance(size, int):
            total += size
    ends = np.cumsum(total)
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    at = ends - total
    for field, size in zip(merged, sizes, strict=True):
        field.place(out, at)
        at = at + size
    return out.tobytes()


def _cells(column: Array, kind: Kind) -> _Fixed | _Varying:
    """A checked column as its cells."""
    valid = None if column.null_count == 0 else ~np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    if kind.name in ("text", "jsonb", "json", "bytea"):
        return _texts(column, valid, lead=b"\x01" if kind.name == "jsonb" else b"")
    if kind.name == "numeric":
        return _Fixed(_numerics(column, valid), valid)
    if kind.name == "uuid":
        raw = np.frombuffer(column.buffers()[1], dtype=np.uint8, count=16 * (column.offset + len(column)))[
            16 * column.offset :
        ]
        return _Fixed(_prefixed(raw.reshape(-1, 16)), valid)
    if kind.name == "bool":
        return _Fixed(
            _prefixed(np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False)).view(np.uint8)[:, None]), valid
        )
    numbers = _numbers(column)
    if kind.name == "timestamptz":
        numbers = numbers - _EPOCH_MICROSECONDS
    elif kind.name == "date":
        numbers = numbers - np.int32(_EPOCH_DAYS)
    swapped = numbers.astype(numbers.dtype.newbyteorder(">"))
    return _Fixed(_prefixed(swapped.view(np.uint8).reshape(len(column), -1)), valid)


def _prefixed(payload: Bytes) -> Bytes:
    width = payload.shape[1]
    cells = np.empty((len(payload), 4 + width), dtype=np.uint8)
    cells[:, :4] = (0, 0, 0, width)
    cells[:, 4:] = payload
    return cells


_STORAGE: dict[DataType, type[np.generic]] = {
    pa.timestamp("us", tz="UTC"): np.int64,
    pa.date32(): np.int32,
    pa.int64(): np.int64,
    pa.int32(): np.int32,
    pa.int16(): np.int16,
    pa.float64(): np.float64,
    pa.float32(): np.float32,
}


def _numbers(column: Array) -> npt.NDArray[Any]:
    """The values as they lie in Arrow's buffer; those of NULLs are anything."""
    storage = np.dtype(_STORAGE[column.type])
    return np.frombuffer(column.buffers()[1], dtype=storage, count=column.offset + len(column))[column.offset :]


def _texts(column: Array, valid: npt.NDArray[np.bool_] | None, *, lead: bytes) -> _Varying:
    _, offsets, text = column.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32, count=column.offset + len(column) + 1)[column.offset :].astype(
        np.intp
    )
    content = np.frombuffer(text, dtype=np.uint8) if text is not None else np.empty(0, dtype=np.uint8)
    return _Varying(content, bounds[:-1], np.diff(bounds), valid, lead)


def _numerics(column: Array, valid: npt.NDArray[np.bool_] | None) -> Bytes:
    """Decimals as PostgreSQL's base-10000 digits, as many as the largest value of the column needs.

    The server strips zeros at both ends itself.
    """
    negative, limbs = _magnitudes(column, valid)
    scale = column.type.scale
    digits: list[npt.NDArray[Any]] = []  # the least first
    if scale % 4:  # the last digit holds what the scale leaves of four decimals
        rest, limbs = _divided(limbs, 10 ** (scale % 4))
        digits.append(rest * np.uint64(10 ** (4 - scale % 4)))
    fraction = -(-scale // 4)
    while limbs:
        rest, limbs = _divided(limbs, 10_000)
        digits.append(rest)
    while digits and len(digits) > fraction and not digits[-1].any():
        digits.pop()
    digits.reverse()
    weight = len(digits) - fraction - 1
    cells = np.empty((len(column), 12 + 2 * len(digits)), dtype=np.uint8)
    cells[:, :4].view(">i4")[:, 0] = 8 + 2 * len(digits)
    words = cells[:, 4:].view(">u2")
    words[:, 0] = len(digits)
    words[:, 1] = np.uint16(weight % 65_536)
    words[:, 2] = negative.astype(np.uint16) * np.uint16(_NEGATIVE)
    words[:, 3] = scale
    for place, digit in enumerate(digits, start=4):
        words[:, place] = digit
    return cells


def _magnitudes(
    column: Array, valid: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.bool_], list[npt.NDArray[np.uint64]]]:
    """Signs, and absolute values as limbs, the greatest first: one of 64 bits where all values fit, else of 32 bits."""
    width = column.type.bit_width // 64
    raw = np.frombuffer(column.buffers()[1], dtype=np.int64, count=(column.offset + len(column)) * width)
    words = raw.reshape(-1, width)[column.offset :]
    if valid is not None:
        words = np.where(valid[:, None], words, 0)
    low = words[:, 0]
    if (words[:, 1:] == (low >> 63)[:, None]).all():
        negative = low < 0
        return negative, [np.abs(low).view(np.uint64)]  # the least int64 wraps onto itself: as unsigned, its magnitude
    negative = words[:, -1] < 0
    halves = np.ascontiguousarray(words).view(np.uint32).astype(np.uint64)  # the least first
    halves = np.where(negative[:, None], halves ^ np.uint64(0xFFFF_FFFF), halves)
    carry = negative.astype(np.uint64)
    limbs = []
    for half in range(halves.shape[1]):
        summed = halves[:, half] + carry
        limbs.append(summed & np.uint64(0xFFFF_FFFF))
        carry = summed >> np.uint64(32)
    limbs.reverse()
    return negative, limbs


def _divided(
    limbs: list[npt.NDArray[np.uint64]], divisor: int
) -> tuple[npt.NDArray[np.uint64], list[npt.NDArray[np.uint64]]]:
    """(remainder, quotient) by long division; limbs that are zero in every row leave the quotient."""
    by = np.uint64(divisor)
    if len(limbs) == 1:
        quotient = limbs[0] // by
        rest = limbs[0] - quotient * by
        return rest, [quotient] if quotient.any() else []
    result: list[npt.NDArray[np.uint64]] = []
    rest = np.zeros_like(limbs[0])
    for limb in limbs:
        value = (rest << np.uint64(32)) | limb
        part = value // by
        rest = value - part * by
        if result or part.any():
            result.append(part)
    if len(result) == 2:  # two halves are one word, which is quicker to divide
        return rest, [(result[0] << np.uint64(32)) | result[1]]
    return rest, result
