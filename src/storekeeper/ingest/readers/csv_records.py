"""Where the records of a csv file begin and end, exactly, so that each is known by its line and its own bytes. Pure.

Fields are separated by commas. A quote at the very start of a field opens a quoted part, in which commas and line ends
are text and a doubled quote is one; whatever follows the closing quote, and every other quote, is text of the field.
Line ends are \\n, \\r\\n and a lone \\r, wherever they stand: all of them count as lines, those outside of quotes end a
record. A record of nothing is a blank line, and passed over.

    cut(data, line=1, final=False)     the records that are complete in these bytes
    records(read, block=…, longest=…)  those of a stream, block by block
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Offsets: TypeAlias = npt.NDArray[np.int64]

_COMMA, _QUOTE, _LF, _CR = b",", b'"', b"\n", b"\r"
_OPENS_BEHIND = np.frombuffer(_COMMA + _LF + _CR + _QUOTE, np.uint8)
# the closing quote is looked for once: nothing here is tried in a second way
_QUOTED = re.compile(rb'"(?:(?<=[,\r\n]")|(?<=\A"))[^"]*+(?:""[^"]*+)*+(")?')


class NoRecordError(ValueError):
    """Bytes that are no record of a csv file: on which line, and why."""


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records without the blank lines among them: record i is `data[starts[i]:ends[i]]`, its line end left
    out, and begins on line `lines[i]`. `quotes` are the offsets at which quoted parts begin and end, by turns."""

    data: bytes
    starts: Offsets
    ends: Offsets
    lines: Offsets
    quotes: Offsets

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, which: slice | npt.NDArray[np.bool_]) -> Records:
        return Records(self.data, self.starts[which], self.ends[which], self.lines[which], self.quotes)

    def raw(self, record: int) -> bytes:
        return self.data[self.starts[record] : self.ends[record]]

    def text(self, record: int) -> str:
        """As it stands in the file; bytes that are not UTF-8 are surrogate escapes."""
        return self.raw(record).decode("utf-8", "surrogateescape")

    def first_longer_than(self, size: int) -> int | None:
        """The line of the first record of more bytes than that."""
        long = np.flatnonzero(self.ends - self.starts > size)
        return int(self.lines[long[0]]) if len(long) else None

    def beyond_ascii(self) -> Offsets:
        """The records that have bytes which are no ASCII."""
        content = np.frombuffer(self.data, np.uint8)
        found: Offsets = np.unique(np.searchsorted(self.starts, np.flatnonzero(content & 0x80), "right") - 1)
        return found[found >= 0]

    def join(self, which: npt.NDArray[np.bool_]) -> bytes:
        """These records alone, one behind another, each with a line end."""
        edges = np.flatnonzero(np.diff(which, prepend=False, append=False))
        return b"".join(
            self.data[self.starts[first] : self.ends[end - 1]] + b"\n"
            for first, end in zip(edges[0::2], edges[1::2], strict=True)
        )

    def widths(self) -> Offsets:
        """How many fields each has."""
        if not len(self):
            return np.zeros(0, np.int64)
        first, end = int(self.starts[0]), int(self.ends[-1])
        commas = _positions(self.data, _COMMA, first, end)
        commas = commas[_outside(commas, self.quotes)]
        return np.searchsorted(commas, self.ends) - np.searchsorted(commas, self.starts) + 1


@dataclass(frozen=True, slots=True)
class Cut:
    """The complete records at the start of some bytes, how many bytes they are, and the line that follows them.
    `opened` is the line of the quote that nothing of what is left closes."""

    records: Records
    used: int
    line: int
    opened: int | None


def cut(data: bytes, *, line: int, final: bool) -> Cut:
    """The records of bytes that begin with one, on this line. `final`: nothing follows, the last needs no line end."""
    # of what follows a \r at the end nothing is known yet: it may be half of a line end
    breaks = _line_ends(data, len(data) if final or not data.endswith(_CR) else len(data) - 1)
    quotes = _quoted(data)
    numbers = np.flatnonzero(_outside(breaks, quotes)) if len(quotes) else np.arange(len(breaks))
    stops = breaks[numbers] + 1
    opened = line + int(np.searchsorted(breaks, _last_opened(quotes))) if len(quotes) % 2 else None
    used = int(stops[-1]) if len(stops) else 0
    if final and opened is None and used < len(data):
        used = len(data)
        numbers, stops = np.append(numbers, len(breaks)), np.append(stops, used)
    starts = np.append(0, stops[:-1])[: len(stops)]
    lines = line + np.append(0, numbers[:-1] + 1)[: len(stops)]
    ends = _without_line_ends(data, stops)
    some = starts < ends
    records = Records(data, starts[some], ends[some], lines[some], quotes)
    return Cut(records, used, line + int(np.searchsorted(breaks, used)), opened)


def records(read: Callable[[int], bytes], *, block: int, longest: int) -> Iterator[Records]:
    """The records of a stream whose mark of byte order is gone, about `block` bytes at once, more only where one record
    needs them. Raises NoRecordError: a quote is never closed, a record has more than `longest` bytes."""
    rest, line, size = b"", 1, block
    while True:
        more = read(size)
        rest += more
        done = cut(rest, line=line, final=not more)
        long = done.records.first_longer_than(longest)
        if long is not None:
            raise _too_long(long, longest, None)
        if len(done.records):
            yield done.records
        rest, line = rest[done.used :], done.line
        if len(rest) > longest:
            raise _too_long(line, longest, done.opened)
        if not more:
            if done.opened is not None:
                raise NoRecordError(_open_quote(done.opened))
            return
        # a long record is searched again from its start: twice as much each time keeps that to a few times
        size = max(block, min(len(rest), longest - len(rest)))


def _too_long(line: int, longest: int, opened: int | None) -> NoRecordError:
    quote = "" if opened is None else f"; {_open_quote(opened)} by then"
    return NoRecordError(f"the record on line {line} has more than {longest >> 20} MiB{quote}")


def _open_quote(line: int) -> str:
    return f"the quote that is opened on line {line} is not closed"


def _positions(data: bytes, byte: bytes, start: int = 0, end: int | None = None) -> Offsets:
    if data.find(byte, start, end) < 0:
        return np.zeros(0, np.int64)
    found: Offsets = np.flatnonzero(np.frombuffer(data, np.uint8)[start:end] == byte[0])
    return found + start if start else found


def _line_ends(data: bytes, end: int) -> Offsets:
    """Offsets of the last byte of every line end before this offset."""
    feeds = _positions(data, _LF, 0, end)
    returns = _positions(data, _CR, 0, end)
    if not len(returns):
        return feeds
    following = np.frombuffer(data, np.uint8)[np.minimum(returns + 1, len(data) - 1)]
    alone = returns[following != _LF[0]]
    return np.sort(np.concatenate((feeds, alone))) if len(alone) else feeds


def _without_line_ends(data: bytes, stops: Offsets) -> Offsets:
    """Where records end without the line ends that stop them; the last of a file may have none."""
    content = np.frombuffer(data, np.uint8)
    last = content[stops - 1]
    ends = stops - ((last == _LF[0]) | (last == _CR[0]))
    before = content[np.maximum(ends - 1, 0)]
    shorter: Offsets = ends - ((last == _LF[0]) & (before == _CR[0]))
    return shorter


def _outside(positions: Offsets, quotes: Offsets) -> npt.NDArray[np.bool_]:
    """Which of these positions stand outside of quoted parts."""
    outside: npt.NDArray[np.bool_] = np.searchsorted(quotes, positions) % 2 == 0
    return outside


def _quoted(data: bytes) -> Offsets:
    """The offsets at which quoted parts begin and end, by turns; the last may have no end.

    Where each quote that would open a part stands at the start of a field, or directly behind the quote that closed the
    part before (a doubled one), all quotes open and close by turns. Else they are gone through one by one.
    """
    quotes = _positions(data, _QUOTE)
    if not len(quotes):
        return quotes
    opening = quotes[0::2]
    before = np.frombuffer(data, np.uint8)[np.maximum(opening - 1, 0)]
    if ((opening == 0) | np.isin(before, _OPENS_BEHIND)).all():
        return quotes
    edges = [edge for part in _QUOTED.finditer(data) for edge in (part.start(), part.start(1)) if edge >= 0]
    return np.array(edges, np.int64)


def _last_opened(quotes: Offsets) -> int:
    """The quote that opens the last part; the halves of doubled quotes in it open none."""
    number = len(quotes) - 1
    while number and quotes[number] == quotes[number - 1] + 1:
        number -= 2
    return int(quotes[number])
