"""Which files are meant, of what kind each is, and the one way to open them."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import BinaryIO, Literal, TypeAlias

from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.csv_input import CsvInput
from storekeeper.ingest.readers.ndjson_input import NdjsonInput
from storekeeper.ingest.readers.parquet_input import ParquetInput
from storekeeper.ingest.readers.text_input import PACKED, Stdin, TextInput

Kind: TypeAlias = Literal["csv", "ndjson", "parquet", "log"]
#: What can be read: a file, or a stream that stands for standard input.
Source: TypeAlias = Path | Stdin

_BY_ENDING: dict[str, Kind] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".jsonlines": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".log": "log",
}
_BY_FORM: dict[str, Kind] = {"csv": "csv", "ndjson": "ndjson", "parquet": "parquet"}
_PARQUET = b"PAR1"


def name_of(source: Source) -> str:
    """The name of a file without its folders, or stdin."""
    return source.name


def meant(arguments: Sequence[str], *, stdin: BinaryIO | None = None) -> list[Path | Stdin]:
    """The files that these arguments name, each once: paths, patterns as shells know them (`**` goes down into
    folders), whose files come sorted, and `-`, which is standard input.

    Raises InputFileError where nothing is there by that name, a pattern fits no file, a folder is named, or standard
    input is named twice.
    """
    files: dict[Path | Stdin, None] = {}
    standard = Stdin(stdin or sys.stdin.buffer) if "-" in arguments else None
    for argument in arguments:
        if argument == "-" and standard is not None:
            if standard in files:
                raise _refused(standard.name, "is named twice, and can be read once")
            files[standard] = None
        else:
            files.update(dict.fromkeys(_named(argument)))
    return list(files)


def kind_of(name: str, start: bytes, form: str | None, *, operation: str, target: str) -> Kind:
    """What a file of this name is, whose unpacked content starts like this. `form` is what the caller says it is: csv,
    ndjson, parquet, or else a format of log lines. Raises InputFileError where nothing tells."""
    if form is not None:
        return _BY_FORM.get(form, "log")
    if start.startswith(_PARQUET):
        return "parquet"
    path = PurePath(name.lower())
    kind = _BY_ENDING.get(path.with_suffix("").suffix if path.suffix in PACKED else path.suffix)
    if kind is None:
        raise InputFileError(
            "its name does not say what it is", operation=operation, target=target, hint="name it: --format csv"
        )
    return kind


def open_input(
    source: Path | Stdin, form: str | None = None, *, operation: str, target: str
) -> CsvInput | NdjsonInput | ParquetInput:
    """The open file, which the caller closes. Raises InputFileError; of a log too, which has no rows."""
    text = TextInput(source, operation=operation, target=target)
    try:
        kind = kind_of(source.name, text.peek(len(_PARQUET)), form, operation=operation, target=target)
        if kind == "csv":
            return CsvInput(text)
        if kind == "ndjson":
            return NdjsonInput(text)
        if kind == "parquet":
            return ParquetInput(text)
        raise text.error("is a log, and has no columns", hint="ingest it into a collection, or name its --format")
    except BaseException:
        text.close()
        raise


def _named(argument: str) -> list[Path]:
    path = Path(argument)
    try:
        if path.is_dir():
            raise _refused(argument, "is a folder", hint=f"name its files: {path / _pattern(path)}")
        if os.path.lexists(path):
            return [path]
    except OSError as error:  # a name too long, a folder that this user may not enter
        raise _refused(argument, os.strerror(error.errno or 0)) from error
    if not glob.has_magic(argument):
        raise _refused(
            argument,
            "No such file or directory",
            hint="look at its name, and at the folder that it is looked for in",
        )
    found = glob.glob(argument, recursive=True)  # noqa: PTH207  # Path.glob takes no pattern that begins at the root
    files = [path for path in map(Path, sorted(found)) if not path.is_dir()]
    if not files:
        raise _refused(argument, "matches no file")
    return files


def _refused(argument: str, cause: str, hint: str = "") -> InputFileError:
    return InputFileError(cause, operation="ingest", target=argument, hint=hint)


def _pattern(folder: Path) -> str:
    """The pattern that most of a folder's files fit which can be taken."""
    endings: Counter[str] = Counter()
    for path in folder.iterdir():
        packed = path.suffix if path.suffix in PACKED else ""
        ending = PurePath(path.name.removesuffix(packed)).suffix
        if ending in _BY_ENDING:
            endings[ending + packed] += 1
    return f"*{endings.most_common(1)[0][0]}" if endings else "*.csv"
