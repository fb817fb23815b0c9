"""The records of a file, whatever its kind: what each says, where it stands, and a digest of the file up to its end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from storekeeper.ingest.documents.log_lines import lines_of
from storekeeper.ingest.documents.shape import Shape
from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.json_lines import check_depth
from storekeeper.ingest.logs.line import Format, LineError
from storekeeper.ingest.logs.messages import Message, read_log
from storekeeper.ingest.readers.csv_input import CsvInput
from storekeeper.ingest.readers.files import Kind
from storekeeper.ingest.readers.ndjson_input import NdjsonInput
from storekeeper.ingest.readers.parquet_input import ParquetInput
from storekeeper.ingest.readers.piece import Input, Reject
from storekeeper.ingest.readers.text_input import TextInput

_START = 1 << 20


class Record(NamedTuple):
    """One record. `text` is as the file has it; `said` is what a mapping may name. `weight` is its size in characters,
    about; `lines` how many it has."""

    place: int
    mark: bytes
    text: Callable[[], str]
    fields: dict[str, Any]
    said: dict[str, Any]
    weight: int
    lines: int = 1


class Faulty(NamedTuple):
    """A record that cannot be taken."""

    reject: Reject
    fault: LineError | None = None


class _Reading(Protocol):
    @property
    def position(self) -> int: ...
    @property
    def size(self) -> int | None: ...
    @property
    def digest(self) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Records:
    """An open file: its records, to be taken once, what their places count, and how far it has been read."""

    each: Iterator[Record | Faulty]
    unit: str
    reading: _Reading


def open_records(
    text: TextInput, kind: Kind, log: Format | None, shape: Shape, *, zone: str | None, year: int | None
) -> Records:
    """The records of an open text. Raises InputFileError, ColumnError; the caller closes `reading`."""
    if log is not None:
        if not text.head(_START).strip():
            raise text.error("is empty")
        return Records(_of_log(text, log, Calendar(None if zone is None else ZoneInfo(zone), year)), "line", text)
    if kind == "ndjson":
        objects = NdjsonInput(text)
        return Records(_of_objects(objects), objects.unit, objects)
    rows = CsvInput(text) if kind == "csv" else ParquetInput(text)
    return Records(_of_rows(rows, shape.columns(rows.header)), rows.unit, rows)


def _of_log(text: TextInput, log: Format, calendar: Calendar) -> Iterator[Record | Faulty]:
    for message in read_log(lines_of(text.read), log, calendar):
        if isinstance(message, Message):
            said = {**message.document["metadata"], **message.document}
            told, size, lines = partial(str, message.text), len(message.text), 1 + message.text.count("\n")
            yield Record(message.place, message.mark, told, message.document, said, size, lines)
        else:
            yield Faulty(Reject(message.place, message.fault.reason, message.text), message.fault)


def _of_objects(objects: NdjsonInput) -> Iterator[Record | Faulty]:
    digest = hashlib.sha256()
    for item in objects.objects():
        if isinstance(item, Reject):
            yield Faulty(item)
            continue
        digest.update(b"%d " % item.place + item.text.encode() + b"\n")
        try:
            check_depth(item.text, item.value)
        except LineError as fault:
            yield Faulty(Reject(item.place, fault.reason, item.text), fault)
            continue
        text = partial(str, item.text)
        yield Record(item.place, digest.copy().digest(), text, item.value, item.value, len(item.text))


def _of_rows(rows: Input, columns: list[str]) -> Iterator[Record | Faulty]:
    digest = hashlib.sha256()
    for piece in rows.pieces(columns):
        # rejects of a piece stand among its rows; both go in the file's order
        waiting = sorted(piece.rejects, key=lambda reject: reject.place, reverse=True)
        for row, values in enumerate(zip(*(column.to_pylist() for column in piece.batch.columns), strict=True)):
            place = int(piece.places[row])
            while waiting and waiting[-1].place < place:
                yield Faulty(waiting.pop())
            told = repr(values)
            digest.update(told.encode("utf-8", "surrogateescape") + b"\n")
            fields = dict(zip(columns, values, strict=True))
            yield Record(place, digest.copy().digest(), partial(piece.text, row), fields, fields, len(told))
        while waiting:
            yield Faulty(waiting.pop())
