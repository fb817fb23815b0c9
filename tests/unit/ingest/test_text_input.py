"""Bytes of files and of stdin, plain and packed: what is read, and that nothing is ever read in part."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from packed import PACKINGS, Packing, packed, piped, written
from storekeeper.errors import InputFileError
from storekeeper.ingest.readers.text_input import Stdin, TextInput

#: Three blocks of a zstd frame, which are compressed each by itself.
CONTENT = b"".join(b"%d,%d\n" % (number, number * 7919 % 1000) for number in range(40_000))


def opened(source: Path | Stdin) -> TextInput:
    return TextInput(source, operation="ingest", target="t")


def in_memory(content: bytes) -> TextInput:
    return opened(Stdin(io.BytesIO(content)))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("size", [1000, 1 << 20, -1])
def test_a_file_is_unpacked_by_what_it_is(tmp_path: Path, packing: Packing, size: int) -> None:
    path = tmp_path / "rows.csv"  # whatever its name says
    path.write_bytes(packed(CONTENT, packing))
    with opened(path) as text:
        assert text.size == path.stat().st_size
        assert text.packed is (packing != "plain")
        parts = [text.read(size)]
        while parts[-1]:
            parts.append(text.read(size))
        assert b"".join(parts) == CONTENT
        assert text.digest == hashlib.sha256(CONTENT).digest()
        assert text.position == text.size
    assert text.position == path.stat().st_size


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_several_packed_parts_are_one_content(packing: Packing) -> None:
    parts = packed(CONTENT, packing) + packed(b"", packing) + packed(b"the end", packing)
    assert in_memory(parts).read() == CONTENT + b"the end"


def test_frames_that_zstd_lets_readers_skip_are_skipped() -> None:
    skippable = b"\x5f\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert in_memory(skippable + packed(CONTENT, "zst")).read() == CONTENT


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_pipe_is_read_as_a_file_is(packing: Packing) -> None:
    content = packed(CONTENT, packing)
    with piped(content) as stream:
        with opened(Stdin(stream)) as text:
            assert text.size is None
            assert text.peek(4) == CONTENT[:4]
            assert text.read() == CONTENT
            assert (text.position, text.digest) == (len(content), hashlib.sha256(CONTENT).digest())
        assert not stream.closed


def test_a_file_that_is_standard_input_has_a_size(tmp_path: Path) -> None:
    with written(tmp_path, CONTENT).open("rb") as stream:
        stream.seek(100)
        with opened(Stdin(stream)) as text:
            assert text.size == len(CONTENT) - 100
            assert text.read() == CONTENT[100:]
            assert text.position == text.size


def test_what_was_looked_at_is_still_read() -> None:
    text = in_memory(b"\xef\xbb\xbfa,b\n" + CONTENT)
    assert text.peek(4) == b"\xef\xbb\xbfa"
    assert text.head(3) == b"a,b"
    assert text.read(2) + text.read(1) + text.read() == b"a,b\n" + CONTENT
    assert text.digest == hashlib.sha256(b"\xef\xbb\xbfa,b\n" + CONTENT).digest()


def test_the_digest_is_known_at_the_end_alone() -> None:
    text = in_memory(CONTENT)
    text.read(10)
    with pytest.raises(RuntimeError, match="when all of it was read"):
        _ = text.digest


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_packed_file_that_is_cut_off_anywhere_is_an_error(tmp_path: Path, packing: Packing, times: int) -> None:
    whole = packed(CONTENT, packing)
    content = whole * times
    path = tmp_path / f"rows.csv.{packing}"
    path.write_bytes(content)
    cuts = {*range(1, 80), *range(1, len(content), 499), *range(len(content) - 80, len(content))}
    around = {len(whole) + offset for offset in range(-80, 80)} - {len(whole)}  # there, nothing is missing
    for cut in sorted(cuts | around if times > 1 else cuts, reverse=True):
        os.truncate(path, cut)
        with pytest.raises(InputFileError, match="cut off"):
            opened(path).read()


def test_a_zstd_frame_that_is_cut_off_between_its_blocks_is_an_error(tmp_path: Path) -> None:
    frame = packed(CONTENT, "zst")
    at = 4 + 1 + {0: 0, 1: 1, 2: 2, 3: 4}[frame[4] & 3]  # magic, descriptor, dictionary
    single = frame[4] >> 5 & 1
    at += 1 - single + {0: single, 1: 2, 2: 4, 3: 8}[frame[4] >> 6]  # window, content size
    ends = []
    last = 0
    while not last:
        header = int.from_bytes(frame[at : at + 3], "little")
        last = header & 1
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        ends.append(at)
    assert len(ends) > 2
    for end in ends[:-1]:
        path = tmp_path / "rows.zst"
        path.write_bytes(frame[:end])
        with pytest.raises(InputFileError, match="the zstd stream is damaged or cut off"):
            opened(path).read()


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("junk", [b"\0", b"x", b"\x1f", b"\x1f\x8b", b"\x28\xb5", b"\0" * 100, b"hello, world"])
def test_what_follows_the_packed_content_is_an_error(packing: Packing, junk: bytes) -> None:
    with pytest.raises(InputFileError, match="is damaged or cut off"):
        in_memory(packed(CONTENT, packing) + junk).read()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(min_value=10), bit=st.integers(0, 7))
def test_a_bit_that_flipped_in_a_gzip_stream_never_goes_unseen(at: int, bit: int) -> None:
    content = bytearray(packed(CONTENT, "gz"))
    content[10 + (at - 10) % (len(content) - 10)] ^= 1 << bit
    with pytest.raises(InputFileError, match="is damaged or cut off"):
        in_memory(bytes(content)).read()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ("é,日\n".encode("utf-16"), "is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-be"), "is UTF-16"),
        (gzip.compress("a,b\n1,2\n".encode("utf-16-be"), mtime=0), "is UTF-16"),
        (bz2.compress(CONTENT), "is packed by bzip2"),
        (lzma.compress(CONTENT), "is packed by xz"),
        (gzip.compress(gzip.compress(CONTENT)), "is packed twice"),
        (packed(packed(CONTENT, "zst"), "gz"), "is packed twice"),
    ],
)
def test_what_is_no_utf8_text_is_named(content: bytes, says: str) -> None:
    with pytest.raises(InputFileError, match=says):
        in_memory(content).head(0)


def test_a_zip_archive_is_named() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("rows.csv", CONTENT)
    with pytest.raises(InputFileError, match="is a zip archive"):
        in_memory(archive.getvalue()).head(0)


def test_a_text_with_few_nul_bytes_is_no_utf16() -> None:
    assert in_memory(b"a\0b,c\0d\n" + CONTENT).head(3) == b"a\0b"
    assert in_memory(bytes(5000)).head(3) == bytes(3)


def test_a_text_that_begins_nearly_as_an_archive_does_is_a_text() -> None:
    assert in_memory(b"BZh,PK\n").head(3) == b"BZh"
    assert in_memory(b"PK,a\n").head(2) == b"PK"


def test_a_file_that_cannot_be_opened_or_read(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="ingest t: No such file or directory"):
        opened(tmp_path / "nothing.csv")
    with pytest.raises(InputFileError, match="Is a directory"):
        opened(tmp_path)
    secret = written(tmp_path, CONTENT, "secret.csv")
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InputFileError, match=os.strerror(errno.EACCES)):
        opened(secret)
