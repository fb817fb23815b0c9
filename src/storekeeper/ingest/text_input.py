"""A text file as bytes, plain or gzip: what it begins with, how far it has been read, and what is wrong with it."""

from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from storekeeper.errors import InputFileError

_GZIP = b"\x1f\x8b"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TO_DO = {
    errno.ENOENT: "look at its name, and at the folder that it is looked for in",
    errno.EISDIR: "name the files in it",
    errno.EACCES: "let this user read it",
}


class TextInput:
    """A file of UTF-8 text, decompressed where it begins as gzip does, a byte-order mark left out.

    Arrow reads and inflates it outside of the interpreter's lock; `read` has a file's signature, so that Arrow's csv
    reader can be given the rest. Every failure to read is an InputFileError.
    """

    def __init__(self, path: Path, *, operation: str, target: str) -> None:
        self.path = path
        self.quotes = 0
        self.closed = False
        self._operation = operation
        self._target = target
        self._head = b""
        with self._readable():
            self.size = path.stat().st_size
            with path.open("rb") as file:
                start = file.read(3)
            self._raw = pa.OSFile(str(path), mode="r")
            packed = start[:2] == _GZIP
            self._stream: pa.NativeFile = pa.CompressedInputStream(self._raw, "gzip") if packed else self._raw

    def error(self, cause: str, hint: str = "") -> InputFileError:
        """What is wrong with this file, to be raised."""
        return InputFileError(cause, operation=self._operation, target=self._target, hint=hint)

    @property
    def position(self) -> int:
        """Bytes of the file read so far, as it lies on the disk."""
        return self.size if self.closed else int(self._raw.tell())

    def head(self, size: int) -> bytes:
        """The first bytes of the text, read once before anything else."""
        while len(self._head) < size and (more := self._read(size - len(self._head))):
            self._head += more
        if self._head.startswith(_UTF16):
            raise self.error("is UTF-16, not UTF-8", hint="convert it: iconv -f UTF-16 -t UTF-8")
        self._head = self._head.removeprefix(codecs.BOM_UTF8)
        return self._head

    def skip_head(self, size: int) -> None:
        """What follows these first bytes is what `read` gives, behind a mark of its own: a reader takes away one."""
        self._head = codecs.BOM_UTF8 + self._head[size:]

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end. Counts the double quotes among them."""
        part = self._head or self._read(size)
        if self._head:
            part, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
        self.quotes += part.count(b'"')
        return part

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._raw.close()
            self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        with self._readable():
            return bytes(self._stream.read(size if size >= 0 else None))

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                raise self.error(os.strerror(error.errno), hint=_TO_DO.get(error.errno, "")) from error
            # Arrow has no errno for what is wrong with the compressed bytes themselves
            raise self.error(
                f"the gzip stream is damaged or cut off: {error}", hint="fetch the file again, or test it with gzip -t"
            ) from error
