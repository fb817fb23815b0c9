"""Memory does not grow with what a file unpacks to."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

_GIGABYTE = 1 << 30
#: Far below what is unpacked, far above what is held at once.
_BOUND_MB = 500

_READER = """
import re, sys
from pathlib import Path
from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.files import open_input

rows = 0
try:
    file = open_input(Path(sys.argv[1]), operation="ingest", target="t")
    for piece in file.pieces(["a"]):
        rows += piece.batch.num_rows
    said = file.digest.hex()
except InputFileError as error:
    said = error.cause
# what getrusage says begins with what the parent had
most = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(rows, int(most[1]) >> 10, said, sep="\\n")
"""


def gzipped(path: Path, parts: list[bytes], times: int) -> None:
    packer = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        file.write(packer.compress(parts[0]))
        file.writelines(packer.compress(parts[1]) for _ in range(times))
        file.write(packer.flush())


def zstandard(path: Path, parts: list[bytes], times: int) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(parts[0])
        for _ in range(times):
            file.write(parts[1])


@pytest.mark.parametrize(
    ("name", "pack", "start", "part", "says"),
    [
        ("zeros.csv.gz", gzipped, b"a,b\n", bytes(1 << 20), "the record on line 2 has more than 32 MiB"),
        ("zeros.ndjson.zst", zstandard, b'{"a": 1}\n', bytes(1 << 20), "line 2 has more than 32 MiB"),
        ("open.csv.zst", zstandard, b'a,b\n1,"', b"x,y\n" * (1 << 18), "the quote that is opened on line 2 is not"),
        ("rows.csv.zst", zstandard, b"a,b\n", (b"x" * 61 + b",2\n") * (1 << 14), None),
    ],
)
def test_a_small_file_of_a_gigabyte_takes_little_memory(
    tmp_path: Path,
    name: str,
    pack: Callable[[Path, list[bytes], int], None],
    start: bytes,
    part: bytes,
    says: str | None,
) -> None:
    path = tmp_path / name
    pack(path, [start, part], _GIGABYTE // len(part))
    assert path.stat().st_size < _GIGABYTE // 100
    done = subprocess.run([sys.executable, "-c", _READER, path], capture_output=True, text=True, check=True)
    rows, megabytes, said = done.stdout.splitlines()
    if says is None:
        assert int(rows) == _GIGABYTE // 64
    else:
        assert says in said
    assert int(megabytes) < _BOUND_MB, done.stdout
