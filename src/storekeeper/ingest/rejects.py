"""The rows that were not taken: in a csv file with place, column, reason and the row as it stood, and a few to show."""

from __future__ import annotations

import csv
import errno
import fcntl
import glob
import os
import re
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from storekeeper.errors import DiskFullError, InputError, InputFileError
from storekeeper.ingest.options import Options
from storekeeper.ingest.progress import FileResult
from storekeeper.ingest.readers.files import Source, name_of
from storekeeper.ingest.readers.piece import Reject

#: Rejects that are kept for the summary; the file has all of them.
SHOWN = 5
#: Reasons that are counted one by one.
REASONS = 100
OTHER_REASONS = "other reasons"
#: The operation of errors about the file of rejects itself.
WRITING = "write rejects to"
_VALUE = re.compile(r"^(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^…]*…|-?[0-9.eE+-]+) (?=has |is |holds )")
_HINTS = (
    ("more decimals", "round_to lets a column be rounded, half to even, and counts"),
    ("is there already", 'on_conflict="skip" leaves such rows out, "update" takes the new ones'),
    ("stands in an earlier row", 'on_conflict="update" takes the last row of a key, version= the greatest'),
    ("is not UTF-8", "convert the file: iconv -f LATIN1 -t UTF-8"),
    ("has no time zone", "name the zone: zone='UTC'"),
)
HEADER = ("line", "column", "reason", "row")
_NUMBERS = count(1)


class Rejects:
    """Takes rejects one after another; the file is made with the first of them, under another name until `publish`.

    `strict`: the first is raised as an InputError, and there is no file. `reasons` counts alike ones; beyond the first
    hundred different ones, all as OTHER_REASONS.
    """

    def __init__(
        self, path: Path, *, strict: bool, keep: bool = True, replace: bool = False, operation: str, target: str
    ) -> None:
        """`keep` False counts them, and writes no file. Where there is a file of this name, `replace` takes its place;
        else the new one gets a number: x.rejects.2.csv."""
        self.path = path
        self.count = 0
        self.first: list[Reject] = []
        self.reasons: Counter[str] = Counter()
        self._strict = strict
        self._keep = keep
        self._replace = replace
        self._operation = operation
        self._target = target
        self._partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_NUMBERS)}.partial")
        self._file: IO[str] | None = None
        self._published = False

    def add(self, reject: Reject, *, unit: str = "line") -> None:
        """Raises InputError where the caller is strict, and where the file cannot be written."""
        if self._strict:
            column = f", column {reject.column}" if reject.column else ""
            raise InputError(
                f"{unit} {reject.place}{column}: {reject.reason}",
                operation=self._operation,
                target=self._target,
                hint=what_to_do(reject.reason),
            )
        self.count += 1
        kind = _kind_of(reject)
        self.reasons[kind if kind in self.reasons or len(self.reasons) < REASONS else OTHER_REASONS] += 1
        if len(self.first) < SHOWN:
            self.first.append(reject)
        if not self._keep:
            return
        try:
            if self._file is None:
                self._file = self._made()
                csv.writer(self._file).writerow(HEADER)
            csv.writer(self._file).writerow((reject.place, reject.column or "", reject.reason, reject.row))
        except OSError as error:
            raise self._failed(error) from error

    def result(self, name: str, rows: int, unit: str) -> FileResult:
        """What became of a file of this name and so many rows."""
        path = self.path if self._published else None
        return FileResult(name, rows, self.count, tuple(self.first), dict(self.reasons), path, unit)

    def publish(self) -> None:
        """Gives the file its name, when all of it is on the disk. Without a reject there is no file."""
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if not self._replace:
                self.path = _free(self.path)
            self._partial.replace(self.path)
        except OSError as error:
            raise self._failed(error) from error
        self._published = True

    def withdraw(self) -> None:
        """Takes the file away again: what was rejected of an ingest that failed says nothing."""
        if self._file is None:
            return
        with suppress(OSError):  # what is still to be written may find no room
            self._file.close()
        (self.path if self._published else self._partial).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.withdraw()

    def _made(self) -> IO[str]:
        """The file, locked for as long as it is written; those that killed processes left behind go."""
        pattern = f".{glob.escape(self.path.name)}.*.partial"
        for left in self._partial.parent.glob(pattern):
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
        # csv ends its own lines; what a file has of bytes that are no text comes back as it was
        made = self._partial.open("x", encoding="utf-8", errors="surrogateescape", newline="")
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return made

    def _failed(self, error: OSError) -> InputError | DiskFullError:
        if error.errno == errno.ENOSPC:
            return DiskFullError(
                "its disk has no room left", operation=WRITING, target=str(self.path), hint="make room there"
            )
        return InputFileError(
            os.strerror(error.errno) if error.errno else str(error),
            operation=WRITING,
            target=str(self.path),
            hint="name a file in a folder that is there, and writable",
        )


def what_to_do(reason: str) -> str:
    """What the caller may ask for where rows are rejected for this reason; nothing where the rows are wrong."""
    return next((hint for words, hint in _HINTS if words in reason), "")


def open_rejects(source: Source, options: Options, *, operation: str, target: str) -> Rejects:
    """Where the rejects of a file go: FILE.rejects.csv in the working directory or in the folder that the caller names,
    numbered where there is one already; or the very file that he names.

    Raises InputError where that is the file which is ingested, or a device.
    """
    named = options.rejects
    replace = named is not None and not named.is_dir()
    if named is not None and replace and named.exists() and not named.is_file():
        raise InputError("is no regular file, to be replaced", operation="write rejects to", target=str(named))
    path = named if named is not None and replace else (named or Path()) / f"{name_of(source)}.rejects.csv"
    if replace and isinstance(source, Path) and path.exists() and source.exists() and path.samefile(source):
        raise InputError("is the file that is ingested", operation=WRITING, target=str(path))
    keep = not options.dry_run
    return Rejects(path, strict=options.strict, keep=keep, replace=replace, operation=operation, target=target)


def _free(path: Path) -> Path:
    """This name or, where it is taken, the next one with a number; an empty file, so that nobody else takes it."""
    bare = path.name.removesuffix(".csv")
    for number in count(2):
        with suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path
        path = path.with_name(f"{bare}.{number}.csv")
    raise AssertionError("there is always another number")


def _kind_of(reject: Reject) -> str:
    """A reason without the value that it was found in, so that alike ones are counted as one."""
    reason = _VALUE.sub("", reject.reason)
    return f"{reject.column}: {reason}" if reject.column else reason
