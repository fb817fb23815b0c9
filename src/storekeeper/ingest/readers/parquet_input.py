"""A parquet file as pieces of its own types, a batch of a row group at a time: memory does not grow with the file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow.parquet as pq

from storekeeper.errors import DiskFullError, InputError, InputFileError
from storekeeper.ingest.readers.piece import PIECE_ROWS, Piece
from storekeeper.ingest.readers.text_input import TextInput
from storekeeper.stores.sql.arrow import Array, DataType, RecordBatch, pa, pc

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_CHUNK = 1 << 20
#: Bytes of rows read at once, as far as the file says how long its rows are.
_BATCH = 8 << 20


class ParquetInput:
    """An open parquet file. `a.b` asks for a field of a struct, unless a column has that name.

    It is read from its end: what comes from stdin, or is packed, is put into an unnamed temporary file first.
    """

    unit: Literal["line", "row"] = "row"

    def __init__(self, text: TextInput) -> None:
        """Raises InputFileError: no parquet, damaged, encrypted. Raises DiskFullError where it cannot be unpacked."""
        self._text = text
        if text.peek(len(_MAGIC)) not in (_MAGIC, _ENCRYPTED):
            raise text.error("is no parquet file", hint="name what it is: --format csv")
        self._file = self._opened()
        try:
            with self._readable():
                self._length = self._file.seek(0, os.SEEK_END)
                if os.pread(self._file.fileno(), len(_MAGIC), max(0, self._length - len(_MAGIC))) == _ENCRYPTED:
                    raise text.error("is encrypted", hint="decrypt it first")
                self._parquet = pq.ParquetFile(
                    self._file, pre_buffer=False, buffer_size=_CHUNK, page_checksum_verification=True
                )
                self._schema = self._parquet.schema_arrow
                self._rows = self._parquet.metadata.num_rows
        except BaseException:
            self._file.close()
            raise
        self.header = tuple(self._schema.names)
        self._size = text.size or text.position
        self._taken = 0

    @property
    def position(self) -> int:
        """As far into the file as its rows were taken."""
        return self._size * self._taken // self._rows if self._rows else self._size

    @property
    def size(self) -> int:
        return self._size

    @property
    def digest(self) -> bytes:
        """SHA-256 of the file, unpacked; reads all of it."""
        digest = hashlib.sha256()
        with self._readable():
            for offset in range(0, self._length, _CHUNK):
                digest.update(os.pread(self._file.fileno(), _CHUNK, offset))
        return digest.digest()

    def has(self, name: str) -> bool:
        """Whether a column may be asked for by this name."""
        if name in self.header:
            return True
        first, *fields = name.split(".")
        if first not in self.header:
            return False
        kind: DataType = self._schema.field(first).type
        for field in fields:
            if not pa.types.is_struct(kind) or kind.get_field_index(field) < 0:
                return False
            kind = kind.field(field).type
        return True

    def pieces(self, wanted: Sequence[str], *, matters: Callable[[str], bool] = bool) -> Iterator[Piece]:
        """The rows, these columns of them, of which `text` tells. No row has columns that the header has not."""
        batches = self._batches(wanted)
        while (batch := self._next(batches)) is not None:
            columns = [_column(batch, name) for name in wanted]
            # the last one only says how many rows there are, should no column be wanted
            rows = pa.RecordBatch.from_arrays([*columns, pa.nulls(batch.num_rows)], names=[*wanted, ""])
            rows = rows.select(list(range(len(columns))))
            places = np.arange(self._taken + 1, self._taken + batch.num_rows + 1)
            self._taken += batch.num_rows
            if batch.num_rows:
                yield Piece(rows, places, partial(_as_json, rows))

    def close(self) -> None:
        self._parquet.close()
        self._file.close()
        self._text.close()

    def _batches(self, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        groups = self._parquet.metadata
        length = sum(groups.row_group(number).total_byte_size for number in range(groups.num_row_groups))
        rows = min(PIECE_ROWS, max(1, _BATCH * self._rows // length)) if length else PIECE_ROWS
        with self._readable():
            return self._parquet.iter_batches(rows, columns=list(wanted))

    def _next(self, batches: Iterator[RecordBatch]) -> RecordBatch | None:
        with self._readable():
            return next(batches, None)

    def _opened(self) -> BinaryIO:
        """The file itself, or what it unpacks to."""
        source = self._text.source
        with self._readable():
            if isinstance(source, Path) and not self._text.packed:
                return source.open("rb")
        try:
            file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the input
            try:
                while part := self._text.read(_CHUNK):
                    file.write(part)
                file.flush()
            except BaseException:
                file.close()
                raise
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else str(error)
            kind = DiskFullError if error.errno == errno.ENOSPC else InputError
            raise kind(cause, operation="unpack parquet to", target=tempfile.gettempdir()) from error
        return file

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                raise self._text.error(os.strerror(error.errno)) from error
            raise self._damaged(error) from error
        except pa.ArrowException as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputFileError:
        return self._text.error(
            f"is damaged, or cannot be read as parquet: {str(error).splitlines()[0]}",
            hint="fetch the file again",
        )


def _column(rows: RecordBatch, name: str) -> Array:
    """A column, or a field of structs; NULL where one on the way to it is."""
    if name in rows.schema.names:
        return rows.column(rows.schema.names.index(name))
    first, *fields = name.split(".")
    return pc.struct_field(rows.column(first), fields)


def _as_json(rows: RecordBatch, row: int) -> str:
    [values] = rows.slice(row, 1).to_pylist()
    return json.dumps(values, ensure_ascii=False, default=_as_text)


def _as_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
