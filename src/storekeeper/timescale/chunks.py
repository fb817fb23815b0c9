"""Chunks: the tables that a level is cut into, one a range of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from storekeeper.catalog import Range
from storekeeper.catalog.ranges import merged, ranges_between
from storekeeper.span import Span


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk. `table` is the dataset's name with its schema, `name` the chunk's own without; `rows` is the server's
    estimate (0 before its first ANALYZE), `bytes` counts indexes too. `partial`: rows came to it since it was
    compressed. `schema` is where it lies, None beside its table."""

    table: str
    name: str
    range: Range
    rows: int
    bytes: int
    compressed: bool = False
    partial: bool = False
    schema: str | None = None

    @property
    def label(self) -> str:
        """The chunk as people find it: invest.intraday_prices_p20140507."""
        return f"{self.schema or self.table.partition('.')[0]}.{self.name}"


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much of a level lies in how many chunks. `before` and `after` are the bytes of the compressed ones before and
    after they were, of which `bytes` has the latter."""

    chunks: int
    compressed: int
    partial: int
    rows: int
    bytes: int
    before: int = 0
    after: int = 0


def aligned(ranges: Iterable[Range], every: Span) -> tuple[Range, ...]:
    """The whole buckets of `every` that these ranges touch, in as few ranges as possible."""
    return merged(Range(every.floor(piece.lower), every.ceil(piece.upper)) for piece in ranges)


def uncovered(wanted: Iterable[Range], covered: Sequence[Range]) -> tuple[Range, ...]:
    """What is left of ranges where those that are there (merged, in order) have been taken out of them; in order."""
    left = []
    for piece in wanted:
        start = piece.lower
        # the first that ends after the piece begins
        for place in range(bisect_right(covered, start, key=_upper), len(covered)):
            other = covered[place]
            if other.lower >= piece.upper:
                break
            if start < other.lower:
                left.append(Range(start, other.lower))
            start = max(start, other.upper)
        if start < piece.upper:
            left.append(Range(start, piece.upper))
    return tuple(sorted(left))


def _upper(piece: Range) -> datetime:
    return piece.upper


def missing(wanted: Iterable[Range], chunk: Span, existing: Iterable[Range]) -> tuple[Range, ...]:
    """The chunks that are not there yet for rows in the wanted ranges, in order."""
    there = set(existing)
    needed = {piece for piece_of in wanted for piece in ranges_between(piece_of.lower, piece_of.upper, chunk)}
    return tuple(sorted(needed - there))


def pieces(window: Range, filled: Iterable[Range], length: Span, every: Span) -> Iterator[tuple[Range, bool]]:
    """`window` cut where chunks begin and end, and what chunks cover into about `length`; all in whole buckets.

    The flag says whether the piece may hold rows.
    """
    start = window.lower
    for part in aligned((piece for piece in filled if piece.overlaps(window)), every):
        part = Range(max(part.lower, window.lower), min(part.upper, window.upper))
        if start < part.lower:
            yield Range(start, part.lower), False
        start = part.lower
        while start < part.upper:
            end = min(every.ceil(length.after(length.floor(start))), part.upper)
            yield Range(start, end), True
            start = end
    if start < window.upper:
        yield Range(start, window.upper), False
