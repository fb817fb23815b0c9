"""Which tier answers which part of a range: a pure sweep over the cold tier's files and the store's chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from storekeeper.catalog import Range
from storekeeper.timescale.archived import ColdFile
from storekeeper.timescale.chunks import Chunk

TICK = timedelta(microseconds=1)
#: Chunks of together so many bytes are sorted at once, in some hundredths of a second; compressed ones hold about so
#: many times their bytes.
SMALL: Final = 8 << 20
_PACKED: Final = 10
#: Open ends.
FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time, and who answers it: files, the store, or both (rows that came late to what was archived)."""

    range: Range
    files: tuple[ColdFile, ...] = ()
    hot: bool = False


def segments(
    files: Sequence[ColdFile], chunks: Iterable[Range], start: datetime | None, end: datetime | None
) -> tuple[Segment, ...]:
    """The stretches of [start, end) that may hold rows, in order of time; no instant is in two of them.

    Files whose times overlap are one segment; the order of `files`, the oldest part first, is kept within it.
    """
    wanted = Range(start or FIRST, end or LAST)
    stored = [chunk for chunk in chunks if chunk.overlaps(wanted)]
    place = {id(file): position for position, file in enumerate(files)}
    clusters: list[tuple[datetime, datetime, list[ColdFile]]] = []
    for file in sorted(files, key=lambda file: (file.earliest, file.latest)):
        lower, upper = max(file.earliest, wanted.lower), min(file.latest + TICK, wanted.upper)
        if lower >= upper:
            continue
        if clusters and lower < clusters[-1][1]:
            first, last, members = clusters[-1]
            clusters[-1] = first, max(last, upper), [*members, file]
        else:
            clusters.append((lower, upper, [file]))
    found: list[Segment] = []
    at = wanted.lower
    for lower, upper, members in clusters:
        if at < lower:
            found += _of_store(Range(at, lower), stored)
        piece = Range(lower, upper)
        ordered = tuple(sorted(members, key=lambda file: place[id(file)]))
        found.append(Segment(piece, ordered, any(chunk.overlaps(piece) for chunk in stored)))
        at = upper
    if at < wanted.upper:
        found += _of_store(Range(at, wanted.upper), stored)
    return tuple(found)


def by_chunk(start: datetime | None, end: datetime | None, chunks: Iterable[Chunk]) -> tuple[Range, ...]:
    """[start, end) cut where chunks begin, in order of time: a chunk a piece, or several small ones. What lies outside
    of all is in the piece beside it. Empty where no chunk is in it."""
    wanted = Range(start or FIRST, end or LAST)
    lowers: list[datetime] = []
    together = 0
    for chunk in sorted((one for one in chunks if one.range.overlaps(wanted)), key=lambda one: one.range.lower):
        size = chunk.bytes * (_PACKED if chunk.compressed else 1)
        if not lowers or together + size > SMALL:
            lowers.append(chunk.range.lower)
            together = 0
        together += size
    if not lowers:
        return ()
    edges = [wanted.lower, *lowers[1:], wanted.upper]
    return tuple(Range(lower, upper) for lower, upper in pairwise(edges))


def _of_store(piece: Range, stored: Iterable[Range]) -> list[Segment]:
    return [Segment(piece, hot=True)] if any(chunk.overlaps(piece) for chunk in stored) else []
