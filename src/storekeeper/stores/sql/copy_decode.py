"""COPY BINARY, read: rows as PostgreSQL sends them become Arrow columns, without a loop over rows.

The mirror of copy_binary. Where a row's fields begin follows from the lengths of those before them, so columns are
taken in order, each for all rows of a block at once. Neighbouring fields of fixed width are fetched as one; if a length
is not what it should be (a NULL), they are taken one by one. Fetching is an indexed read of a view in which every byte
begins an element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from storekeeper.errors import StoreError, ValueFitError
from storekeeper.stores.sql.arrow import Array, DataType, RecordBatch, pa
from storekeeper.stores.sql.copy_blocks import Block
from storekeeper.stores.sql.copy_numerics import PADDING, MisfitError, numeric_cells

#: What the server sends. Integers and floats of any width: their length words tell which.
Wire = Literal["timestamp", "date", "integer", "float", "bool", "numeric", "text"]

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Valid = npt.NDArray[np.bool_] | None

_EPOCH_MICROSECONDS: Final = 946_684_800_000_000  # PostgreSQL counts from 2000-01-01
_EPOCH_DAYS: Final = 10_957
#: Texts of more lengths than this are moved byte by byte.
_LENGTHS: Final = 24
#: How values lie in the server's cells, by kind and width, the usual width first.
_STORAGE: Final[dict[str, dict[int, str]]] = {
    "timestamp": {8: ">i8"},
    "date": {4: ">i4"},
    "integer": {8: ">i8", 4: ">i4", 2: ">i2"},
    "float": {8: ">f8", 4: ">f4"},
    "bool": {1: "u1"},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of an answer: how the server sends it, and the Arrow type that it becomes.

    A `timestamp` becomes microseconds, in the zone of its type; a `numeric` a float64 (the nearest one) or a decimal; a
    `text` a string. Integers and floats may become wider ones.
    """

    name: str
    wire: Wire
    type: DataType


class Decoder:
    """Blocks of rows as record batches of one schema."""

    def __init__(self, fields: Sequence[Field], *, operation: str, target: str) -> None:
        self.fields = tuple(fields)
        self.schema: Any = pa.schema([pa.field(field.name, field.type) for field in fields])
        self.operation = operation
        self.target = target

    def decode(self, block: Block) -> RecordBatch:
        """The rows of a block. Raises ValueFitError where a value has no place in its column's Arrow type, StoreError
        where the rows are not of these columns."""
        columns = _Columns(block)
        if columns.rows:
            columns.skip_count(len(self.fields))
        arrays: list[Array] = []
        for run in self._runs:
            together = columns.fixed([field.wire for field in run]) if len(run) > 1 else None
            for place, field in enumerate(run):
                try:
                    if together is not None:
                        arrays.append(_fixed_array(field, together[place], None))
                    else:
                        arrays.append(_ARRAYS.get(field.wire, _one_by_one)(columns, field))
                except MisfitError as error:
                    raise self._misfit(field, str(error)) from error
                except pa.ArrowInvalid as error:
                    raise self._misfit(field, str(error)) from error
        columns.finish()
        batch: RecordBatch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        return batch

    @cached_property
    def _runs(self) -> tuple[tuple[Field, ...], ...]:
        """Neighbours of fixed width together, the others alone."""
        runs: list[list[Field]] = []
        for field in self.fields:
            if runs and field.wire in _STORAGE and runs[-1][-1].wire in _STORAGE:
                runs[-1].append(field)
            else:
                runs.append([field])
        return tuple(map(tuple, runs))

    def _misfit(self, field: Field, cause: str) -> ValueFitError:
        hint = "read other columns or rows" if field.wire in ("timestamp", "date") else ""
        if field.wire == "numeric" and pa.types.is_decimal(field.type):
            hint = "read it without exact=True"
        return ValueFitError(cause, operation=self.operation, target=self.target, column=field.name, hint=hint)


class _Columns:
    """The fields of a block's rows, taken column by column from the left."""

    def __init__(self, block: Block) -> None:
        self.rows = len(block.lengths)
        self.ends: Rows = np.cumsum(np.array(block.lengths, dtype=np.int64))
        self.at: Rows = self.ends - np.array(block.lengths, dtype=np.int64)
        # what is fetched of a short last row may lie behind its end
        self.content: Bytes = np.frombuffer(block.rows + bytes(PADDING), dtype=np.uint8)

    def fetch(self, at: Rows, width: int) -> npt.NDArray[np.void]:
        """`width` bytes from each place."""
        return anywhere(self.content, width)[at]

    def skip_count(self, fields: int) -> None:
        if (self.fetch(self.at, 2).view(">i2") != fields).any():
            raise _foreign()
        self.at = self.at + 2

    def move(self, sizes: Rows | int) -> None:
        self.at = self.at + sizes
        if (self.at > self.ends).any():
            raise _foreign()

    def finish(self) -> None:
        if (self.at != self.ends).any():
            raise _foreign()

    def lengths(self) -> tuple[Rows, Valid]:
        """Steps over the length words of the next field: how many bytes each cell has, and which are there."""
        lengths = self.fetch(self.at, 4).view(">i4").astype(np.int64)
        self.move(4)
        valid = None
        if len(lengths) and lengths.min() < 0:
            if lengths.min() < -1:
                raise _foreign()
            valid = lengths >= 0
            lengths = np.where(valid, lengths, 0)
        return lengths, valid

    def fixed(self, wires: Sequence[Wire]) -> list[npt.NDArray[Any]] | None:
        """The values of these fields where no row has a NULL in any; else None, and nothing is taken."""
        parts: list[tuple[str, str]] = []
        place = int(self.at[0]) if self.rows else 0
        for number, wire in enumerate(wires):  # the first row tells the widths, the others have to agree
            width = int(self.content[place : place + 4].view(">i4")[0]) if self.rows else next(iter(_STORAGE[wire]))
            storage = _STORAGE[wire].get(width)
            if storage is None:
                return None
            parts += [(f"length{number}", ">i4"), (f"value{number}", storage)]
            place += 4 + width
        dtype = np.dtype(parts)
        if dtype.itemsize > PADDING:
            return None
        cells = self.fetch(self.at, dtype.itemsize).view(dtype)
        for number in range(len(wires)):
            if (cells[f"length{number}"] != dtype[f"value{number}"].itemsize).any():
                return None
        self.move(dtype.itemsize)
        return [cells[f"value{number}"] for number in range(len(wires))]


def anywhere(buffer: Bytes, width: int) -> npt.NDArray[np.void]:
    """`buffer` as elements of `width` bytes that begin at every byte (they overlap)."""
    return np.ndarray((max(len(buffer) - width + 1, 0),), dtype=f"V{width}", buffer=buffer, strides=(1,))


def bitmap(valid: Valid) -> Any:
    """Arrow's validity buffer; None where every value is there."""
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _foreign() -> StoreError:
    return StoreError("the server's rows are not of the columns that were asked for")


def _one_by_one(columns: _Columns, field: Field) -> Array:
    """A column of fixed width that may hold NULLs."""
    lengths, valid = columns.lengths()
    there = lengths if valid is None else lengths[valid]
    width = int(there[0]) if len(there) else next(iter(_STORAGE[field.wire]))
    storage = _STORAGE[field.wire].get(width)
    if storage is None or (there != width).any():
        raise _foreign()
    values = columns.fetch(columns.at, width).view(storage)
    columns.move(lengths)
    return _fixed_array(field, values if valid is None else np.where(valid, values, 0), valid)


def _fixed_array(field: Field, values: npt.NDArray[Any], valid: Valid) -> Array:
    match field.wire:
        case "bool":
            buffers = [bitmap(valid), pa.py_buffer(np.packbits(values.astype(np.bool_), bitorder="little"))]
            return pa.Array.from_buffers(field.type, len(values), buffers)
        case "timestamp":
            native = values.astype(np.int64)
            if len(native) and (native.max() > _LAST_MICROSECOND or native.min() == _FIRST):
                raise MisfitError("a time is infinite, or too late for Arrow")
            native += _EPOCH_MICROSECONDS
        case "date":
            native = values.astype(np.int32)
            if len(native) and (native.max() > _LAST_DAY or native.min() == np.iinfo(np.int32).min):
                raise MisfitError("a date is infinite, or too late for Arrow")
            native += np.int32(_EPOCH_DAYS)
        case _:
            native = values.astype(field.type.to_pandas_dtype())
            if native.dtype.kind == "i" and native.itemsize < values.itemsize and (native != values).any():
                raise MisfitError(f"a number does not fit {field.type}")
    return pa.Array.from_buffers(field.type, len(native), [bitmap(valid), pa.py_buffer(native)])


_FIRST: Final = np.iinfo(np.int64).min
_LAST_MICROSECOND: Final = np.iinfo(np.int64).max - _EPOCH_MICROSECONDS
_LAST_DAY: Final = np.iinfo(np.int32).max - _EPOCH_DAYS


def _text(columns: _Columns, field: Field) -> Array:
    lengths, valid = columns.lengths()
    starts = columns.at
    columns.move(lengths)
    bounds = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=bounds[1:])
    text = np.empty(int(bounds[-1]), dtype=np.uint8)
    counts = np.bincount(lengths) if len(lengths) and lengths.max() < 1024 else np.empty(0, dtype=np.int64)
    different = np.nonzero(counts)[0]
    if 0 < len(different) <= _LENGTHS:
        for length in different[different > 0]:
            rows = slice(None) if len(different) == 1 else np.nonzero(lengths == length)[0]
            anywhere(text, int(length))[bounds[:-1][rows]] = columns.fetch(starts[rows], int(length))
    else:
        shifts = np.repeat(starts - bounds[:-1], lengths)
        shifts += np.arange(len(text), dtype=np.int64)
        np.take(columns.content, shifts, out=text)
    array = pa.Array.from_buffers(field.type, len(lengths), [bitmap(valid), pa.py_buffer(bounds), pa.py_buffer(text)])
    array.validate(full=True)  # a server whose encoding is SQL_ASCII sends whatever was put in
    return array


def _numeric(columns: _Columns, field: Field) -> Array:
    array, sizes = numeric_cells(columns.content, columns.at, field.type)
    columns.move(sizes)
    return array


_ARRAYS: Final[dict[Wire, Callable[[_Columns, Field], Array]]] = {"text": _text, "numeric": _numeric}
