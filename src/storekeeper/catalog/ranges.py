"""Partition bounds and names: which chunk holds a moment, what it is called. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from storekeeper.catalog.tables import Monthly, Yearly
from storekeeper.span import Span

#: PostgreSQL's names end after 63 bytes.
_LONGEST = 63


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """[lower, upper): aware UTC instants."""

    lower: datetime
    upper: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.lower <= moment < self.upper

    def overlaps(self, other: Range) -> bool:
        return self.lower < other.upper and other.lower < self.upper


def range_of(moment: datetime, width: Span) -> Range:
    """The range of this width, aligned to the width's origin, that holds `moment`."""
    lower = width.floor(moment)
    return Range(lower, width.after(lower))


def ranges_between(lower: datetime, upper: datetime, width: Span) -> Iterator[Range]:
    """The aligned ranges that overlap [lower, upper), in order."""
    start = width.floor(lower)
    while start < upper:
        end = width.after(start)
        yield Range(start, end)
        start = end


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same instants in as few ranges as possible, in order."""
    result: list[Range] = []
    for piece in sorted(ranges):
        if result and piece.lower <= result[-1].upper:
            result[-1] = Range(result[-1].lower, max(result[-1].upper, piece.upper))
        else:
            result.append(piece)
    return tuple(result)


def chunk_name(table: str, chunk: Range) -> str:
    """intraday_prices_p20140507, or with a time where the chunk does not begin at midnight: …_p20140507t0600."""
    lower = chunk.lower.astimezone(UTC)
    stamp = f"{lower.year:04}{lower:%m%d}"  # %Y pads no year
    if (lower.hour, lower.minute) != (0, 0):
        stamp += f"{lower:t%H%M}"
    return f"{table[: _LONGEST - len(stamp) - 2]}_p{stamp}"


def partition_range(partition: Yearly | Monthly, moment: datetime) -> Range:
    """The calendar year or month (UTC) that holds `moment`."""
    return range_of(moment, partition.width)


def partition_name(table: str, partition: Yearly | Monthly, bounds: Range) -> str:
    """transactions_2025, user_activity_log_202510, token_transactions_y2023m01."""
    lower = bounds.lower.astimezone(UTC)
    if isinstance(partition, Yearly):
        return f"{table}_{lower.year:04}"
    return f"{table}_y{lower.year:04}m{lower:%m}" if partition.verbose else f"{table}_{lower.year:04}{lower:%m}"
