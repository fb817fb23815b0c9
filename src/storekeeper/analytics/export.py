"""Writing an answer to a file or a pipe: csv, ndjson, parquet or a picture; packed by gzip or zstd where asked."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

from storekeeper.analytics.asking import Answer, arrow_batch, arrow_schema
from storekeeper.analytics.lines import csv_lines, ndjson_lines
from storekeeper.errors import DiskFullError, InputError, InputFileError

Format = Literal["csv", "ndjson", "parquet", "png"]
Packing = Literal["gzip", "zstd"]
_PACKED: Final[dict[str, Packing]] = {".gz": "gzip", ".zst": "zstd"}
#: Formats that are lines of text: they can be packed, and be written to a pipe.
TEXTS: Final = ("csv", "ndjson")
ENDINGS: Final = ".csv, .ndjson (also with .gz or .zst), .parquet, .png"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an answer goes, as what, and how it is packed."""

    path: Path
    format: Format
    packing: Packing | None = None


class Sink(Protocol):
    """What bytes are written to: a file, a pipe, a packed stream."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


def target_of(path: Path, format: str | None = None) -> Target:  # noqa: A002  # the option's name
    """What a file is to be, by the ending of its name; `format` goes before that. Raises InputError."""
    packing = _PACKED.get(path.suffix.lower())
    ending = Path(path.stem).suffix if packing else path.suffix
    named = format or ending.lower().removeprefix(".")
    for known in get_args(Format):
        if named == known and (packing is None or known in TEXTS):
            return Target(path, known, packing)
    if named in get_args(Format):
        raise InputError(
            f"{named} is not packed a second time", operation="write", target=str(path), hint=f"end it in .{named}"
        )
    raise InputError(
        f"{format or path.suffix or 'a name without an ending'} is no known kind of file",
        operation="write",
        target=str(path),
        hint=f"let it end in {ENDINGS}",
    )


def export(
    answer: Answer,
    target: Target,
    *,
    title: str,
    time: str = "bucket",
    key: str | None = None,
    zone: str | None = None,
) -> int:
    """Writes the answer whole, or nothing, and returns how many rows: under another name first, then renamed.

    `title`, `time`, `key` and `zone` are for pictures: what stands above, the columns of time and of the key, and whose
    clock the axis shows (see `plot`).
    Text and parquet are written while the answer is read; a picture holds it whole. Raises InputFileError or
    DiskFullError where the file cannot be written: a file that was there is as it was. What is no regular file (a pipe,
    /dev/stdout) is written to as it is.
    """
    path = target.path
    in_place = path.exists() and not path.is_file()
    partial = path if in_place else path.with_name(f".{path.name}.{os.getpid()}.partial")
    counted = _Counted(answer)
    try:
        with writable(str(path)):
            _write(counted.answer, partial, target, {"title": title, "time": time, "key": key, "zone": zone})
            if not in_place:
                partial.replace(path)
    finally:
        if not in_place:
            partial.unlink(missing_ok=True)
    return counted.rows


def write_text(answer: Answer, out: Sink, format: str) -> int:  # noqa: A002  # the option's name
    """Writes csv or ndjson to a stream while the answer is read; returns how many rows."""
    counted = _Counted(answer)
    for lines in (csv_lines if format == "csv" else ndjson_lines)(counted.answer):
        out.write(lines.encode())
    out.flush()
    return counted.rows


@contextmanager
def writable(target: str) -> Iterator[None]:
    """Failures of writing as storekeeper's errors; a reader that has gone is none of them."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "no room is left on the disk; the file was not written",
                operation="write",
                target=target,
                hint="make room, or name a file on another disk",
            ) from error
        # Arrow's text tells of a name that nobody gave
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputFileError(
            reason, operation="write", target=target, hint="name a file in a folder that is there, and writable"
        ) from error


class _Counted:
    """An answer that counts its rows while they are taken."""

    def __init__(self, answer: Answer) -> None:
        self.rows = 0
        self.answer = Answer(answer.columns, self._counting(answer), answer.hidden, answer.cut)

    def _counting(self, answer: Answer) -> Iterator[Any]:
        for batch in answer.batches:
            self.rows += len(batch)
            yield batch


def _write(answer: Answer, path: Path, target: Target, picture: dict[str, Any]) -> None:
    match target.format:
        case "parquet":
            from pyarrow import parquet

            with parquet.ParquetWriter(path, arrow_schema(answer.columns), compression="zstd") as writer:
                for batch in answer.batches:
                    writer.write_batch(arrow_batch(answer.columns, batch))
        case "png":
            from storekeeper.analytics.plots import draw

            draw(answer.table(), path, **picture)
        case _:
            import pyarrow as pa

            with path.open("wb") as file:
                if target.packing is None:
                    write_text(answer, file, target.format)
                    return
                with pa.CompressedOutputStream(pa.PythonFile(file), target.packing) as packed:
                    write_text(answer, packed, target.format)
