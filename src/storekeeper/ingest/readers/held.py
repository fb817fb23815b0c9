"""A file as it is when it is opened, to be read more than once: what is added to it afterwards is not seen."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self, cast

from storekeeper.errors import DiskFullError, InputError, InputFileError
from storekeeper.ingest.readers.files import Source, name_of
from storekeeper.ingest.readers.text_input import Stdin, TextInput


class HeldFile:
    """An open file. What can be read once alone (standard input, a pipe) is put into an unnamed temporary file first.

    Raises InputFileError where it cannot be read, DiskFullError where there is no room to hold it.
    """

    def __init__(self, source: Source, *, operation: str, target: str) -> None:
        self.name = name_of(source)
        self._path = source if isinstance(source, Path) else None
        self._operation = operation
        self._target = target
        stream = self._opened(source)
        self.regular = isinstance(source, Path) and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        self._file = stream
        if not self.regular:
            try:
                self._file = self._spooled(stream)
            finally:
                if isinstance(source, Path):
                    stream.close()
        self.size = os.fstat(self._file.fileno()).st_size

    def text(self) -> TextInput:
        """The file from its beginning. Of several only the newest may be read."""
        return TextInput(self.stream(), operation=self._operation, target=self._target)

    def stream(self) -> Stdin:
        """The file from its beginning, as a stream of bytes."""
        self._file.seek(0)
        return Stdin(cast("BinaryIO", _Part(self._file, self.size)), self.name)

    def random(self) -> TextInput:
        """The file from its beginning, for a reader that goes to and fro in it."""
        if self.regular and self._path is not None:
            return TextInput(self._path, operation=self._operation, target=self._target)
        return self.text()

    def parts(self, size: int) -> Iterator[bytes]:
        """The file as it lies, so many bytes at a time."""
        self._file.seek(0)
        part = _Part(self._file, self.size)
        while block := part.read(size):
            yield block

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _opened(self, source: Source) -> BinaryIO:
        if isinstance(source, Stdin):
            return source.stream
        try:
            return source.open("rb", buffering=0)
        except OSError as error:
            # the one that opens files elsewhere knows what to do about it
            TextInput(source, operation=self._operation, target=self._target).close()
            raise self._unreadable(error) from error

    def _spooled(self, stream: BinaryIO) -> BinaryIO:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the held file
        try:
            shutil.copyfileobj(stream, file, 1 << 20)
            file.flush()
        except OSError as error:
            file.close()
            if error.errno == errno.ENOSPC:
                raise DiskFullError(operation="hold standard input in", target=tempfile.gettempdir()) from error
            raise self._unreadable(error) from error
        except BaseException:
            file.close()
            raise
        return cast("BinaryIO", file)

    def _unreadable(self, error: OSError) -> InputError:
        return InputFileError(
            os.strerror(error.errno) if error.errno else str(error), operation=self._operation, target=self._target
        )


class _Part:
    """The first bytes of a file, as a stream."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        part = self._file.read(min(size, self._left))
        self._left -= len(part)
        return part
