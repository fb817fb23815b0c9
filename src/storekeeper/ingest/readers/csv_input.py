"""A csv file as pieces in which every column is text, read as a stream: memory does not grow with the file."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow.csv as pa_csv

from storekeeper.ingest.readers.csv_records import NoRecordError, Records, records
from storekeeper.ingest.readers.piece import PIECE_ROWS, Piece, Reject
from storekeeper.ingest.readers.text_input import TextInput, TextRows
from storekeeper.stores.sql.ahead import one_ahead
from storekeeper.stores.sql.arrow import RecordBatch, pa

#: Bytes of text taken at once.
BLOCK = 4 << 20
#: Bytes of a record, at most.
LONGEST = 32 << 20


class CsvInput(TextRows):
    """An open csv file: its header, then its rows. See csv_records for what a record is.

    A field of nothing is NULL, a quoted one of nothing is an empty text. Rows that have more or fewer fields than the
    header, or bytes that are not UTF-8, are rejects.
    """

    def __init__(self, text: TextInput, *, block: int = BLOCK) -> None:
        """Reads the header, and closes nothing. Raises InputFileError where there is none."""
        super().__init__(text)
        text.head(0)
        self._blocks = one_ahead(records(text.read, block=block, longest=LONGEST))
        try:
            first = self._next()
            if first is None:
                raise text.error("is empty: there is no header")
            self.header = self._header(first[:1])
        except BaseException:
            # whoever closes the file must find nobody reading it
            self._blocks.close()
            raise
        self._first: Records | None = first[1:]

    def has(self, name: str) -> bool:
        """Whether a column may be asked for by this name."""
        return name in self.header

    def pieces(self, wanted: Sequence[str], *, matters: Callable[[str], bool] = bool) -> Iterator[Piece]:
        """The rows, these columns of them; taken once. No row has fields that the header has not: those are rejects."""
        columns = [self.header.index(name) for name in wanted]
        block, self._first = self._first, None
        while block is not None:
            for start in range(0, len(block), PIECE_ROWS):
                yield self._piece(block[start : start + PIECE_ROWS], columns, wanted)
            block = self._next()

    def close(self) -> None:
        self._blocks.close()
        self._text.close()

    def _next(self) -> Records | None:
        try:
            return next(self._blocks, None)
        except NoRecordError as error:
            raise self._text.error(str(error), hint="look for a quote that is missing, or one too many") from error

    def _header(self, record: Records) -> tuple[str, ...]:
        raw, line = record.raw(0), record.lines[0]
        if b"\0" in raw:
            raise self._text.error(f"is no text: line {line} has a NUL byte")
        if not _is_utf8(raw):
            raise self._text.error(f"line {line} is not UTF-8", hint="convert it: iconv -f LATIN1 -t UTF-8")
        width = int(record.widths()[0])
        fields = _parsed(raw, width, range(width))
        if fields is None:
            raise self._text.error(f"its header on line {line} cannot be read")
        return tuple(name or "" for name in fields.to_pylist()[0].values())

    def _piece(self, span: Records, columns: Sequence[int], names: Sequence[str]) -> Piece:
        content, width = span.data[span.starts[0] : span.ends[-1] + 1], len(self.header)
        # most files have no row that cannot be taken: only where one is found are they all looked at
        batch = _parsed(content, width, columns) if _is_utf8(content) else None
        rejects: list[Reject] = []
        if batch is None:
            span, content, rejects = _sorted_out(span, width)
            batch = _parsed(content, width, columns)
        if batch is None or batch.num_rows != len(span):
            raise self._text.error(f"cannot be cut into rows from line {span.lines[0]} on")
        return Piece(batch.rename_columns(list(names)), span.lines, span.text, tuple(rejects))


def _sorted_out(span: Records, width: int) -> tuple[Records, bytes, list[Reject]]:
    """The records that can be taken, their bytes, and the others."""
    widths = span.widths()
    reasons = {
        int(record): f"has {widths[record]} fields, the header {width}" for record in np.flatnonzero(widths != width)
    }
    reasons |= {int(record): "is not UTF-8" for record in span.beyond_ascii() if not _is_utf8(span.raw(record))}
    good = np.ones(len(span), np.bool_)
    good[list(reasons)] = False
    rejects = [Reject(int(span.lines[record]), reasons[record], span.text(record)) for record in sorted(reasons)]
    return span[good], span.join(good), rejects


def _is_utf8(content: bytes) -> bool:
    try:
        return content.isascii() or content.decode() is not None
    except UnicodeDecodeError:
        return False


def _parsed(content: bytes, width: int, columns: Sequence[int]) -> RecordBatch | None:
    """These columns of csv, as text; None where a row has not as many fields."""
    names = [str(column) for column in range(width)]
    wanted = [names[column] for column in columns]
    rows: RecordBatch
    if not content:
        rows = pa.RecordBatch.from_arrays([pa.array([], pa.string())] * len(wanted), names=wanted)
        return rows
    # Arrow takes a mark of byte order away, which is text here, and gives an empty field at the very end of the bytes
    # for a quoted one where the field before it is quoted
    if content.startswith(codecs.BOM_UTF8):
        content = codecs.BOM_UTF8 + content
    if not content.endswith((b"\n", b"\r")):
        content += b"\n"
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(block_size=len(content) + 1, column_names=names, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=wanted or names[:1],
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    [rows] = table.combine_chunks().to_batches()
    return rows.select(wanted)
