"""Newline-delimited JSON, one object a line, as pieces in which every column is text, or as the objects themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder, dumps
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from storekeeper.ingest.readers.piece import PIECE_ROWS, Piece, Reject
from storekeeper.ingest.readers.text_input import TextInput, TextRows
from storekeeper.stores.sql.arrow import pa
from storekeeper.stores.sql.intake.strict_json import StrictJsonError, members_once, no_constant

#: Bytes of text taken at once; what columns there are is looked up in the first of them.
BLOCK = 4 << 20
#: Bytes of a line, at most.
LONGEST = 32 << 20

_BLANK = " \t\r"
# of a member of an object that is known to be JSON, with the comma before it
_KEY = re.compile(r'[\s,]*("(?:[^"\\]|\\.)*+")\s*:\s*')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

#: A column of the file, or the way down to a member of nested objects.
_Path: TypeAlias = tuple[str, ...]


class JsonObject(NamedTuple):
    """The object of one line: the line's number from 1, the line, and what json makes of it."""

    place: int
    text: str
    value: dict[str, Any]


class _NotTakenError(ValueError):
    """What is wrong with a line; `column` where one key is to blame."""

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class _Lines:
    """Consecutive lines without their ends, from the line `first` on. `damaged`: some of them are not UTF-8, and have
    surrogate escapes for such bytes."""

    first: int
    texts: list[str]
    damaged: bool

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Those that are not blank."""
        return ((number, text) for number, text in enumerate(self.texts, self.first) if text.strip(_BLANK))

    def pieces(self) -> Iterator[_Lines]:
        """The same, PIECE_ROWS of them at most."""
        for start in range(0, len(self.texts), PIECE_ROWS):
            yield _Lines(self.first + start, self.texts[start : start + PIECE_ROWS], self.damaged)


class NdjsonInput(TextRows):
    """An open file of JSON objects, one a line.

    As rows, every value is text: of a number its digits as they stand, of a text what it says, of a nested list or
    object its JSON as it stands, true, false; null, and a key that is not there, are NULL. The columns are the keys of
    the first block's objects, in the order in which they appear; `a.b` asks for a member of a nested object, unless a
    column has that name. Lines that are no such object are rejects, with a key that stands twice, a number that is none
    (NaN), or text that is not Unicode too.
    """

    def __init__(self, text: TextInput, *, block: int = BLOCK) -> None:
        """Reads the first block, and closes nothing. Raises InputFileError where no line of it holds an object."""
        super().__init__(text)
        self._block = block
        text.head(0)
        self._blocks = self._read()
        self._first = next(self._blocks, None)
        self.header = self._header()

    def has(self, name: str) -> bool:
        """Whether a column may be asked for by this name."""
        return name in self.header or name.partition(".")[0] in self.header

    def pieces(self, wanted: Sequence[str], *, matters: Callable[[str], bool] = lambda _: True) -> Iterator[Piece]:
        """The rows, these columns of them; taken once. A row with a key that matters and is no column is a reject."""
        paths = [(name,) if name in self.header else tuple(name.split(".")) for name in wanted]
        rows = _Rows(self.header, wanted, paths, matters)
        for lines in self._lines():
            for part in lines.pieces():
                piece = rows.piece(part)
                if piece.batch.num_rows or piece.rejects:
                    yield piece

    def objects(self) -> Iterator[JsonObject | Reject]:
        """The objects, and what is none, in the file's order; taken once, in place of the rows.

        Numbers are int where they have neither fraction nor exponent, else the nearest float.
        """
        for lines in self._lines():
            for number, line in lines.numbered():
                try:
                    value = _object(line, _NUMBERS, lines.damaged)
                except _NotTakenError as error:
                    yield Reject(number, str(error), line.rstrip(_BLANK), error.column)
                else:
                    yield JsonObject(number, line.rstrip(_BLANK), value)

    def close(self) -> None:
        self._text.close()

    def _lines(self) -> Iterator[_Lines]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._blocks

    def _read(self) -> Iterator[_Lines]:
        """All lines, about a block at once, more only where one line needs them."""
        rest, number, size = b"", 1, self._block
        while True:
            more = self._text.read(size)
            rest += more
            used = rest.rfind(b"\n") + 1 if more else len(rest)
            lines = _split(rest[:used], number) if used else _Lines(number, [], damaged=False)
            number += len(lines.texts)
            if len(rest) > LONGEST:
                self._refuse_long(lines, number, len(rest) - used)
            if used:
                yield lines
            if not more:
                return
            rest = rest[used:]
            # what is left of a long line is searched again: twice as much each time keeps that to a few times
            size = max(self._block, min(len(rest), LONGEST - len(rest)))

    def _refuse_long(self, lines: _Lines, number: int, begun: int) -> None:
        """`begun`: bytes of the line of this number that there are so far."""
        long = [place for place, text in lines.numbered() if len(text.encode("utf-8", "surrogateescape")) > LONGEST]
        if begun > LONGEST:
            long.append(number)
        for place in long:
            raise self._text.error(f"line {place} has more than {LONGEST >> 20} MiB")

    def _header(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        objects = 0
        wrong = ""
        lines = self._first or _Lines(1, [], damaged=False)
        for number, line in lines.numbered():
            if not wrong and not objects and line.lstrip(_BLANK).startswith("["):
                raise self._text.error(
                    "is a JSON list; one object a line is expected", hint="unfold it: jq -c '.[]' FILE"
                )
            try:
                found.update(dict.fromkeys(_object(line, _EXACT, lines.damaged)))
                objects += 1
            except _NotTakenError as error:
                wrong = wrong or f"line {number} {error}"
        if not objects and not wrong:
            raise self._text.error("is empty")
        if not objects:
            raise self._text.error(f"{wrong}; one object a line is expected", hint="write it so: jq -c . FILE")
        return tuple(found)


class _Rows:
    """Lines into pieces of one file: what was found of its keys stays."""

    def __init__(
        self, header: Sequence[str], names: Sequence[str], paths: Sequence[_Path], matters: Callable[[str], bool]
    ) -> None:
        self._known = set(header)
        self._names = list(names)
        self._paths = paths
        self._matters = matters

    def piece(self, lines: _Lines) -> Piece:
        places: list[int] = []
        texts: list[str] = []
        rows: list[list[str | None]] = []
        rejects: list[Reject] = []
        for number, line in lines.numbered():
            try:
                value = _object(line, _EXACT, lines.damaged)
                if not self._known.issuperset(value):
                    self._look_at_new(value)
                rows.append(_texts(line, value, self._paths))
            except _NotTakenError as error:
                rejects.append(Reject(number, str(error), line.rstrip(_BLANK), error.column))
            else:
                places.append(number)
                texts.append(line)
        columns = [pa.array([row[column] for row in rows], pa.string()) for column in range(len(self._names))]
        # the last one only says how many rows there are, should no column be wanted
        batch = pa.RecordBatch.from_arrays([*columns, pa.nulls(len(rows))], names=[*self._names, ""])
        batch = batch.select(list(range(len(columns))))
        return Piece(batch, np.array(places, np.int64), lambda row: texts[row].rstrip(_BLANK), tuple(rejects))

    def _look_at_new(self, value: dict[str, Any]) -> None:
        for key in value:
            if key not in self._known:
                if self._matters(key):
                    raise _NotTakenError(f"has the key {key!r}, which the rows before have not", key)
                self._known.add(key)


def _split(data: bytes, number: int) -> _Lines:
    data = data.removesuffix(b"\n")
    try:
        return _Lines(number, data.decode().split("\n"), damaged=False)
    except UnicodeDecodeError:
        return _Lines(number, data.decode("utf-8", "surrogateescape").split("\n"), damaged=True)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NotTakenError(f"has a number that no float holds: {text}")
    return number


_EXACT = JSONDecoder(object_pairs_hook=members_once, parse_constant=no_constant, parse_float=str, parse_int=str)
_NUMBERS = JSONDecoder(object_pairs_hook=members_once, parse_constant=no_constant, parse_float=_finite)
_AGAIN = JSONDecoder(parse_float=str, parse_int=str)


def _object(line: str, decoder: JSONDecoder, damaged: bool) -> dict[str, Any]:
    """The object of a line. Raises _NotTakenError."""
    if damaged and not _is_unicode(line):
        raise _NotTakenError("is not UTF-8")
    try:
        value = decoder.decode(line)
    except JSONDecodeError as error:
        raise _NotTakenError(f"is no JSON: {error.msg}, at character {error.pos + 1}") from error
    except RecursionError as error:
        raise _NotTakenError("is nested too deeply") from error
    except _NotTakenError:
        raise
    except StrictJsonError as error:
        raise _NotTakenError(str(error), error.key) from error
    except ValueError as error:  # of a number with thousands of digits
        raise _NotTakenError(f"has a number that cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise _NotTakenError("is no JSON object")
    if _SURROGATE.search(line) and not _is_unicode(dumps(value, ensure_ascii=False)):
        raise _NotTakenError("has half of a surrogate pair, which is no text")
    return value


def _is_unicode(text: str) -> bool:
    with suppress(UnicodeEncodeError):
        text.encode()
        return True
    return False


def _texts(line: str, value: dict[str, Any], paths: Sequence[_Path]) -> list[str | None]:
    """The texts of what these paths lead to in a line's object, whose numbers are texts already."""
    texts: list[str | None] = []
    spans: dict[str, tuple[int, int]] = {}
    for path in paths:
        found = value.get(path[0]) if len(path) == 1 else _member(value, path)
        if found is None or type(found) is str:
            texts.append(found)
        elif found is True or found is False:
            texts.append("true" if found else "false")
        else:
            spans = spans or _spans(line, 0)
            start, end = spans[path[0]]
            for key in path[1:]:
                start, end = _spans(line, start)[key]
            texts.append(line[start:end])
    return texts


def _member(value: dict[str, Any], path: _Path) -> Any:
    """What is at the end of a way down; None where something on it is not there, or null."""
    found: Any = value
    for number, key in enumerate(path):
        if not isinstance(found, dict):
            raise _NotTakenError(f"{'.'.join(path[:number])} is no object, and has no {key}", ".".join(path))
        found = found.get(key)
        if found is None:
            return None
    return found


def _spans(line: str, start: int) -> dict[str, tuple[int, int]]:
    """From where to where the values of an object stand that begins here, of a line that was read before."""
    spans: dict[str, tuple[int, int]] = {}
    at = line.index("{", start) + 1
    while key := _KEY.match(line, at):
        _, end = _AGAIN.raw_decode(line, key.end())
        name = key[1][1:-1] if "\\" not in key[1] else _AGAIN.decode(key[1])
        spans[name] = (key.end(), end)
        at = end
    return spans
