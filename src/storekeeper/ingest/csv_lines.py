"""Where in a csv file something stands: a slow second reading, by Python's csv module, for an error's text alone."""

from __future__ import annotations

import csv
import io
import sys
import zlib
from collections.abc import Iterator
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, cast

_SHOWN = 60


def line_of_row(path: Path, row: int) -> int | None:
    """The line (from 1) on which a row (from 0, the header left out) begins; None where it cannot be read again."""
    try:
        for number, (line, _) in enumerate(_records(path), start=-1):
            if number == row:
                return line
    except (OSError, EOFError, zlib.error, csv.Error):
        return None
    return None


def what_is_wrong(path: Path, width: int, longest: int) -> str | None:
    """The first line that cannot be taken, and why; None where nothing is found.

    A record of more than `longest` bytes may be taken or not: it is named where nothing else is wrong.
    """
    long = None
    try:
        for line, record in _records(path):
            if any(not _is_text(field) for field in record):
                return f"line {line} is not UTF-8"
            if len(record) != width:
                shown = ",".join(record)
                shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
                return f"line {line} has {len(record)} fields, the header {width}: {shown!r}"
            if long is None and sum(map(len, record)) > longest:
                long = f"line {line} is longer than {longest} bytes"
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot be read: {error}"
    except csv.Error as error:
        return f"is no csv: {error}"
    return long


def unclosed_quote(path: Path) -> int | None:
    """The line of the record that a quote keeps open to the end of the file."""
    try:
        for _ in _records(path, strict=True):
            pass
    except _NoRecordError as error:
        return error.line if error.at_end else None
    return None


class _NoRecordError(csv.Error):
    """What begins on this line is no record of a csv file; `at_end` where the file ended before the record did."""

    def __init__(self, line: int, cause: str, *, at_end: bool) -> None:
        super().__init__(f"line {line}: {cause}")
        self.line = line
        self.at_end = at_end


def _records(path: Path, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of every record that is not blank; the header is the first."""
    allowed = csv.field_size_limit(sys.maxsize)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            raw = cast("BinaryIO", GzipFile(fileobj=file)) if packed else file
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(text, strict=strict)
            before = 0
            try:
                for record in reader:
                    if record:
                        yield before + 1, record
                    before = reader.line_num
            except csv.Error as error:
                raise _NoRecordError(before + 1, str(error), at_end=not text.readline()) from error
    finally:
        csv.field_size_limit(allowed)


def _is_text(field: str) -> bool:
    return field.isascii() or not any("\udc80" <= character <= "\udcff" for character in field)
