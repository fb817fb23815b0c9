"""Lines of a text that comes in blocks."""

from __future__ import annotations

import hashlib
import io

from hypothesis import given, strategies as st

from storekeeper.ingest.documents.log_lines import lines_of
from storekeeper.ingest.logs.line import Line


def lines(content: bytes, *, step: int = 1 << 20, longest: int = 1_000) -> list[Line]:
    stream = io.BytesIO(content)
    return [line for block in lines_of(lambda _: stream.read(step), longest=longest) for line in block]


CONTENT = st.lists(st.sampled_from([b"", b"a", b"caf\xc3\xa9", b"caf\xe9", b"x\r", b"b" * 30]), max_size=12).map(
    b"\n".join
)


@given(CONTENT, st.integers(1, 50))
def test_lines_are_the_same_whatever_the_blocks(content: bytes, step: int) -> None:
    found = lines(content, step=step)
    assert found == lines(content)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [line.place for line in found] == list(range(1, len(expected) + 1))
    assert [line.text.encode(errors="surrogateescape") for line in found] == [
        raw.removesuffix(b"\r") for raw in expected
    ]
    assert [line.fault for line in found] == ["is not UTF-8" if b"\xe9" in raw else None for raw in expected]


@given(CONTENT, CONTENT)
def test_marks_tell_contents_apart_and_stay_when_a_text_grows(content: bytes, more: bytes) -> None:
    before, after = lines(content), lines(content + b"\n" + more)
    assert [line.mark for line in after[: len(before)]] == [line.mark for line in before]
    assert len({line.mark for line in after}) == len(after)
    ends = [index for index, byte in enumerate(content + b"\n") if byte == ord("\n")]
    assert [line.mark for line in before] == [hashlib.sha256(content[:end]).digest() for end in ends[: len(before)]]


@given(st.integers(1, 40), st.integers(0, 60), st.binary(max_size=5).filter(lambda rest: b"\n" not in rest))
def test_a_line_that_is_too_long_has_a_fault_and_the_next_has_none(step: int, length: int, rest: bytes) -> None:
    content = b"y" * length + rest + b"\nshort"
    long, short = lines(content, step=step, longest=20)
    assert (long.fault == "is longer than 16 MB") == (length + len(rest) > 20)
    assert (short.place, short.text, short.fault) == (2, "short", None)
    assert short.mark == hashlib.sha256(content).digest()
