"""Files as they come: plain, gzip or zstd, on the disk or through a pipe."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Literal, TypeAlias

import pyarrow as pa

Packing: TypeAlias = Literal["plain", "gz", "zst"]
PACKINGS: tuple[Packing, ...] = ("plain", "gz", "zst")


def packed(content: bytes, packing: Packing) -> bytes:
    """The content as one gzip member or zstd frame."""
    if packing == "plain":
        return content
    if packing == "gz":
        return gzip.compress(content, mtime=0)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def written(folder: Path, content: bytes, name: str = "rows.csv", packing: Packing = "plain") -> Path:
    """A file of this content; its name says how it is packed."""
    path = folder / (name if packing == "plain" else f"{name}.{packing}")
    path.write_bytes(packed(content, packing))
    return path


@contextmanager
def piped(content: bytes) -> Iterator[BinaryIO]:
    """The end of a pipe to read from, into which a thread writes this content bit by bit."""
    source, sink = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(sink, "wb", buffering=0) as pipe:
            pipe.writelines(content[start : start + 1000] for start in range(0, len(content), 1000))

    thread = Thread(target=write)
    thread.start()
    try:
        with os.fdopen(source, "rb") as stream:
            yield stream
    finally:
        thread.join()
