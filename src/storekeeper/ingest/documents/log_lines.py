"""The lines of a text, in blocks, each with a digest of the text up to its end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from storekeeper.ingest.logs.line import Line
from storekeeper.ingest.logs.messages import LONGEST_MESSAGE

_BLOCK = 1 << 20
#: Bytes that are kept of a line which is too long.
_TOLD = 1_000


def lines_of(read: Callable[[int], bytes], *, longest: int = LONGEST_MESSAGE) -> Iterator[list[Line]]:
    """Blocks of lines without their ends (LF, CR LF). `read` gives the next bytes, none at the end.

    Lines that are not UTF-8, or longer than `longest` bytes, have a fault; of the latter no more is held than that. A
    digest leaves out the end of its own line, so that it stays when lines are added to a text without a last line end.
    """
    digest = hashlib.sha256()
    place, begun, length = 1, b"", 0
    while block := read(_BLOCK):
        first, *others = block.split(b"\n")
        digest.update(first)
        length += len(first)
        begun = begun + first if length <= longest else (begun + first)[:_TOLD]
        lines: list[Line] = []
        for other in others:
            lines.append(_line(place, begun, length > longest, digest.copy().digest()))
            digest.update(b"\n" + other)
            place, begun, length = place + 1, other, len(other)
        if lines:
            yield lines
    if length:
        yield [_line(place, begun, length > longest, digest.digest())]


def _line(place: int, raw: bytes, too_long: bool, mark: bytes) -> Line:
    raw = raw.removesuffix(b"\r")
    if too_long:
        return Line(place, f"{raw[:_TOLD].decode(errors='surrogateescape')}…", mark, "is longer than 16 MB")
    try:
        return Line(place, raw.decode(), mark)
    except UnicodeDecodeError:
        return Line(place, raw.decode(errors="surrogateescape"), mark, "is not UTF-8")
