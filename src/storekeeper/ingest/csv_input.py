"""A csv file as Arrow batches in which every column is text, read as a stream: memory does not grow with the file."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from storekeeper.errors import InputFileError
from storekeeper.ingest.csv_lines import unclosed_quote, what_is_wrong
from storekeeper.ingest.text_input import TextInput

#: Bytes of text parsed at once; no record is longer.
BLOCK = 4 << 20
_HEAD = 1 << 20


class CsvInput:
    """An open csv file: its header, then its rows.

    Fields are separated by commas and may be quoted; a quote within is doubled, and line ends may stand within. A field
    of nothing is NULL, a quoted one of nothing is an empty text. Blank lines are passed over.
    """

    def __init__(self, text: TextInput) -> None:
        """Reads the header. Raises InputFileError where there is none."""
        self._text = text
        head = text.head(_HEAD)
        whole = len(head) < _HEAD
        if not head.strip():
            raise text.error("is empty: there is no header")
        try:
            readable = codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
        except UnicodeDecodeError as error:
            line = head[: error.start].count(b"\n") + 1
            raise text.error(f"line {line} is not UTF-8", hint="convert it: iconv -f LATIN1 -t UTF-8") from error
        lines = io.StringIO(readable, newline="")
        try:
            self.header: tuple[str, ...] = tuple(next(record for record in csv.reader(lines) if record))
        except (csv.Error, StopIteration) as error:
            raise text.error(f"its header cannot be read: {error}") from error
        consumed = lines.tell()
        if consumed == len(readable) and not whole:
            raise text.error(f"its header is longer than {_HEAD} bytes")
        self._bare = whole and not readable[consumed:].strip("\r\n")
        text.skip_head(len(readable[:consumed].encode()))

    def batches(self, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of the file, these columns of them, as text. Raises InputFileError, with the line where it is known.

        What is wrong with the end of a file is known at its end: whoever writes rows must be able to undo it.
        """
        if self._bare:
            return
        try:
            reader = pa_csv.open_csv(
                cast("Any", self._text),
                read_options=pa_csv.ReadOptions(block_size=BLOCK, column_names=list(self.header)),
                parse_options=pa_csv.ParseOptions(newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(self.header, pa.string()),
                    include_columns=list(wanted) or list(self.header[:1]),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            yield from reader
        except pa.ArrowInvalid as error:
            raise self._wrong(str(error)) from error
        # Arrow takes what a quote keeps open for one long text: of quotes that open and close there is an even number
        if self._text.quotes % 2 and (line := unclosed_quote(self._text.path)) is not None:
            raise self._unclosed(line)

    def _wrong(self, said: str) -> InputFileError:
        if (line := unclosed_quote(self._text.path)) is not None:
            return self._unclosed(line)
        found = what_is_wrong(self._text.path, len(self.header), BLOCK)
        return self._text.error(found or f"is no csv: {said}")

    def _unclosed(self, line: int) -> InputFileError:
        return self._text.error(f"the quote that is opened on line {line} is not closed")


def open_csv(path: Path, *, operation: str, target: str) -> tuple[TextInput, CsvInput]:
    """The open file, which the caller closes, and its csv."""
    text = TextInput(path, operation=operation, target=target)
    try:
        return text, CsvInput(text)
    except BaseException:
        text.close()
        raise
