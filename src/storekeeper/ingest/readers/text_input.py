"""The bytes of a file or of stdin, unpacked as a stream: where it stands, what was in it, what is wrong with it."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, TypeAlias, cast

import pyarrow as pa

from storekeeper.errors import InputFileError

#: Bytes of what is packed that are read at once; of a packed stream no more is held, whatever it unpacks to.
_CHUNK = 1 << 20
#: Bytes by which the encoding of a text is known.
_START = 4096

#: How names of packed files end.
PACKED = (".gz", ".zst")

_Packing: TypeAlias = Literal["gzip", "zstd"]

_GZIP = b"\x1f\x8b"
# of a zstd frame, and of the frames that it lets readers skip
_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16)))
_OTHERS = (
    (re.compile(rb"PK\x03\x04"), "a zip archive"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "packed by bzip2"),
    (re.compile(rb"\xfd7zXZ"), "packed by xz"),
    (re.compile(re.escape(_GZIP) + b"|" + re.escape(_ZSTD[0])), "packed twice"),
)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TO_DO = {
    errno.ENOENT: "look at its name, and at the folder that it is looked for in",
    errno.EISDIR: "name the files in it",
    errno.EACCES: "let this user read it",
}


@dataclass(frozen=True, slots=True)
class Stdin:
    """The program's standard input, or any stream of bytes that stands for it. Whoever opened it closes it."""

    stream: BinaryIO
    name: str = "stdin"


class TextInput:
    """A file or stdin, unpacked where it begins as gzip or zstd does; of several packed parts all are read.

    `head`, `peek` look at its start, `read` takes from it. Every failure to read is an InputFileError: a packed stream
    that ends too early never reads as a shorter one.
    """

    def __init__(self, source: Path | Stdin, *, operation: str, target: str) -> None:
        self.source = source
        self.closed = False
        self._operation = operation
        self._target = target
        self._digest = hashlib.sha256()
        self._ended = False
        self._start = b""
        with self._readable():
            self._raw = _Raw(source)
            try:
                start = self._raw.peek(len(_ZSTD[0]))
                if 0 < len(start) < len(_ZSTD[0]) and source.name.endswith(PACKED):
                    raise self.error("is cut off", hint="fetch the file again")
                self._packing = _packing(start)
                self._stream = self._raw if self._packing is None else _unpacked(self._raw, self._packing)
            except BaseException:
                self._raw.close()
                raise

    def error(self, cause: str, hint: str = "") -> InputFileError:
        """What is wrong with this file, to be raised."""
        return InputFileError(cause, operation=self._operation, target=self._target, hint=hint)

    @property
    def packed(self) -> bool:
        return self._packing is not None

    @property
    def size(self) -> int | None:
        """Bytes, as it lies on the disk; None for a pipe."""
        return self._raw.size

    @property
    def position(self) -> int:
        """Bytes taken so far, as it lies on the disk."""
        return self._raw.count

    @property
    def digest(self) -> bytes:
        """SHA-256 of the unpacked content, a byte-order mark included; known at its end."""
        if not self._ended:
            raise RuntimeError("the digest of a file is known when all of it was read")
        return self._digest.digest()

    def peek(self, size: int) -> bytes:
        """The first bytes as they are, whatever they are; for as long as nothing was read."""
        while len(self._start) < size and (more := self._next(size - len(self._start))):
            self._start += more
        return self._start[:size]

    def head(self, size: int) -> bytes:
        """The first bytes of a text, its mark of UTF-8 taken away for good; looked at before anything else is read.

        Raises InputFileError where it is a text in another encoding, or no text but another kind of file.
        """
        self._start = self.peek(max(size, _START)).removeprefix(codecs.BOM_UTF8)
        if self._start.startswith(_UTF16) or _is_bare_utf16(self._start[:_START]):
            raise self.error("is UTF-16, not UTF-8", hint="convert it: iconv -f UTF-16 -t UTF-8")
        for magic, kind in _OTHERS:
            if magic.match(self._start):
                raise self.error(f"is {kind}", hint="unpack it, or pack it by gzip or zstd")
        return self._start[:size]

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as asked for; fewer at the end, then none."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        part, self._start = self._start[:size], self._start[size:]
        while len(part) < size and (more := self._next(size - len(part))):
            part = part + more if part else more
        return part

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._stream.close()
            self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, size: int) -> bytes:
        with self._readable():
            part = self._stream.read(size)
        self._ended = self._ended or not part
        self._digest.update(part)
        return part

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                raise self.error(os.strerror(error.errno), hint=_TO_DO.get(error.errno, "")) from error
            # Arrow has no errno for what is wrong with the packed bytes themselves
            raise self.error(
                f"the {self._packing} stream is damaged or cut off: {error}",
                hint=f"fetch the file again, or test it with {self._packing} -t",
            ) from error


class _Raw:
    """A file or stdin as it lies on the disk, counted; Arrow reads from it."""

    def __init__(self, source: Path | Stdin) -> None:
        self._own = isinstance(source, Path)
        self._file: BinaryIO = source.open("rb", buffering=0) if isinstance(source, Path) else source.stream
        self._peeked = b""
        self.count = 0
        self.closed = False
        self.size = _size_of(self._file)

    def peek(self, size: int) -> bytes:
        while len(self._peeked) < size and (more := self._file.read(size - len(self._peeked))):
            self._peeked += more
        return self._peeked

    def read(self, size: int) -> bytes:
        if self._peeked:
            part, self._peeked = self._peeked[:size], self._peeked[size:]
        else:
            part = self._file.read(size)
        self.count += len(part)
        return part

    def close(self) -> None:
        self.closed = True
        if self._own:
            self._file.close()


def _size_of(file: BinaryIO) -> int | None:
    """What is left of a regular file; None for anything else."""
    try:
        status = os.fstat(file.fileno())
        return status.st_size - file.tell() if stat.S_ISREG(status.st_mode) else None
    except (OSError, AttributeError):  # io.UnsupportedOperation, an OSError, of streams in memory
        return None


def _packing(start: bytes) -> _Packing | None:
    if start.startswith(_GZIP):
        return "gzip"
    return "zstd" if start.startswith(_ZSTD) else None


def _unpacked(raw: _Raw, packing: _Packing) -> pa.NativeFile:
    """Arrow inflates outside of the interpreter's lock, and comes back to it for one chunk at a time."""
    buffered = pa.BufferedInputStream(pa.PythonFile(cast("Any", raw), mode="r"), _CHUNK)
    return pa.CompressedInputStream(buffered, packing)


def _is_bare_utf16(start: bytes) -> bool:
    """Whether a text is UTF-16 of mostly Latin letters, the first one of them, without a mark: NUL is every second byte
    of such, and no other."""
    even, odd = start[0::2], start[1::2]
    return any(
        nuls.startswith(b"\0") and nuls.count(0) * 2 > len(nuls) and not others.count(0)
        for nuls, others in ((even, odd), (odd, even))
    )


class TextRows:
    """What inputs have in common whose rows are lines of a text: where they stand is where the text stands."""

    unit: Literal["line", "row"] = "line"

    def __init__(self, text: TextInput) -> None:
        self._text = text

    @property
    def position(self) -> int:
        return self._text.position

    @property
    def size(self) -> int | None:
        return self._text.size

    @property
    def digest(self) -> bytes:
        return self._text.digest
