"""What formats hand on: a line of a file, what the first line of a message says, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias


class Line(NamedTuple):
    """A line without its end. `place` counts from 1; `mark` is a digest of the content up to and including this line.

    `fault`: why it can be no part of a document. What is no UTF-8 stands in `text` as surrogates, and of a line that is
    too long its beginning.
    """

    place: int
    text: str
    mark: bytes
    fault: str | None = None


class YearlessTime(NamedTuple):
    """A local time whose year the line leaves out; not checked to exist."""

    month: int
    day: int
    hour: int
    minute: int
    second: int
    microsecond: int = 0


#: A time as a line says it: an instant where it carries an offset, else local.
Stamp: TypeAlias = datetime | YearlessTime


class LineError(Exception):
    """What is wrong with a line or a record.

    `missing`: it is in order, but the caller has to name the zone or the year. `column`: the field that is to blame.
    """

    def __init__(
        self, reason: str, *, missing: Literal["zone", "year"] | None = None, column: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = missing
        self.column = column


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first line of a message says.

    `level` is as written, None where the line has none. `fields` are fields of the document by name (service, userId,
    requestId, stackTrace), `metadata` is all the rest.
    """

    stamp: Stamp
    level: str | int | None
    message: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """The lines of a message taken apart: its text, its stack trace, and what its last lines say besides."""

    text: str
    trace: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


#: For each line what it begins, None where it begins nothing, or what is wrong with it.
Reader: TypeAlias = Callable[[Sequence[str]], Iterable[Beginning | LineError | None]]
#: How much of lines carries something: all, some, or none of them.
Extent: TypeAlias = Literal["all", "some", "none"]


@dataclass(frozen=True, slots=True)
class Format:
    """How a program writes its log.

    `years`, `zones`: how many lines say of which year and zone their time is. `named`: they may
    name the service. `multiline`: a line that begins no message continues the one before. `body` takes the lines of a
    message apart; `ignored` are lines that belong to none.
    """

    name: str
    read: Reader
    body: Callable[[list[str]], Body]
    years: Extent = "all"
    zones: Extent = "none"
    named: bool = False
    multiline: bool = True
    ignored: Callable[[str], bool] = lambda line: not line.strip()


def each(read: Callable[[str], Beginning | None]) -> Reader:
    """A reader of many lines from one of one line, which raises LineError."""

    def read_all(lines: Sequence[str]) -> Iterator[Beginning | LineError | None]:
        for line in lines:
            try:
                yield read(line)
            except LineError as fault:
                yield fault

    return read_all
