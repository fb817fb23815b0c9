"""Rows of an answer as lines that fit a terminal: numbers whole, texts cut, nothing folded. Pure.

In this order, until a row fits: what is the same in all rows is said once above them; texts are cut, with …; numbers
are rounded, which is said; columns are left out from the right, and named. One row that does not fit is a list of names
and values.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal

from storekeeper.cli.layout import GAP

#: No text is cut below this, and none is shown beyond that: a document's stack trace is no cell of a table.
_LEAST = 12
_LONGEST = 120
#: Significant digits of a rounded number.
_DIGITS = 6

_ROUNDED = "numbers rounded; --json and -o FILE have them exact"


@dataclass(frozen=True, slots=True)
class Grid:
    """Lines to be printed: what is said once, the header (empty without columns), the rule below it and the rows; and
    notes on what is not shown as it is."""

    above: tuple[str, ...]
    header: str
    rule: str
    rows: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as it would be shown: its cells, whether they stand to the right, and whether they may be cut."""

    name: str
    cells: tuple[str, ...]
    right: bool = False
    text: bool = False

    @property
    def width(self) -> int:
        return max(map(_len, (self.name, *self.cells)))

    @property
    def least(self) -> int:
        return min(self.width, max(_LEAST, _len(self.name))) if self.text else self.width


def grid(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> Grid:
    """The rows, of which there is at least one, in lines of at most `width` cells."""
    values = list(zip(*rows, strict=True)) if columns else []
    shown = [_column(name, of_column) for name, of_column in zip(columns, values, strict=True)]
    if _fits(shown, width):
        return _laid_out(shown, width)
    if len(rows) == 1:
        return _listed(shown, width)
    same = [column for column in shown if len(set(column.cells)) == 1]
    above = _above(same, width)
    kept = [at for at, column in enumerate(shown) if column not in same]
    varied = [shown[at] for at in kept]
    if _fits(varied, width, least=True):
        return replace(_laid_out(varied, width), above=above)
    rounded = [_column(columns[at], [_rounded(value) for value in values[at]]) for at in kept]
    if _fits(rounded, width, least=True):
        return replace(_laid_out(rounded, width), above=above, notes=(_ROUNDED,))
    fitting = varied
    while len(fitting) > 1 and not _fits(fitting, width, least=True):
        fitting = fitting[:-1]
    left_out = ", ".join(column.name for column in varied[len(fitting) :])
    notes = (f"too narrow for {left_out}: --columns chooses",) if left_out else ()
    return replace(_laid_out(fitting, width), above=above, notes=notes)


def _laid_out(columns: Sequence[_Column], width: int) -> Grid:
    widths = [column.width for column in columns]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        wide = [at for at, column in enumerate(columns) if widths[at] > column.least]
        if not wide:
            break
        widths[max(wide, key=lambda at: widths[at])] -= 1
    rule = GAP.join("─" * one for one in widths)
    rows = zip(*(column.cells for column in columns), strict=True)
    return Grid(
        (), _line(columns, [c.name for c in columns], widths), rule, tuple(_line(columns, r, widths) for r in rows)
    )


def _line(columns: Sequence[_Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        cut = cut_to(cell, width)
        blanks = " " * (width - _len(cut))
        padded.append(blanks + cut if column.right else cut + blanks)
    return GAP.join(padded).rstrip()


def _listed(columns: Sequence[_Column], width: int) -> Grid:
    """One row, a line for each of its values."""
    names = max(_len(column.name) for column in columns)
    lines = (
        f"{column.name}{' ' * (names - _len(column.name))}{GAP}{_whole(column, width - names - len(GAP))}".rstrip()
        for column in columns
    )
    return Grid((), "", "", tuple(lines))


def _above(same: Sequence[_Column], width: int) -> tuple[str, ...]:
    """What is the same in all rows, and at last what is empty in all."""
    said = [f"{column.name}: {_whole(column, width - _len(column.name) - 2)}" for column in same if column.cells[0]]
    empty = ", ".join(column.name for column in same if not column.cells[0])
    return (*said, *([cut_to(f"empty: {empty}", width)] if empty else []))


def _whole(column: _Column, width: int) -> str:
    """The first cell; a number is never cut."""
    return cut_to(column.cells[0], max(_LEAST, width)) if column.text else column.cells[0]


def _fits(columns: Sequence[_Column], width: int, *, least: bool = False) -> bool:
    needed = sum(column.least if least else column.width for column in columns)
    return needed + len(GAP) * (len(columns) - 1) <= width


def _column(name: str, values: Sequence[object]) -> _Column:
    known = [value for value in values if value is not None]
    cell, right = _formatting(known)
    cells = tuple("" if value is None else cell(value) for value in values)
    text = bool(known) and all(isinstance(value, str) for value in known)
    return _Column(name, cells, right, text)


def _formatting(known: Sequence[object]) -> tuple[Callable[[object], str], bool]:
    """How the values of a column are written, all in one way; and whether to the right."""
    if known and all(isinstance(value, datetime) for value in known):
        pattern = _pattern([value for value in known if isinstance(value, datetime)])
        return (lambda value: _time_text(value, pattern)), False
    numbers = [value for value in known if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)]
    if numbers and len(numbers) == len(known):
        places = max((_places(value) for value in numbers if isinstance(value, Decimal)), default=0)
        return (lambda value: _number_text(value, places)), True
    return _cell, False


def _pattern(moments: Sequence[datetime]) -> str:
    """The shortest that leaves nothing out."""
    if any(moment.microsecond for moment in moments):
        return "%Y-%m-%d %H:%M:%S.%f" if any(m.microsecond % 1000 for m in moments) else "ms"
    if any(moment.second for moment in moments):
        return "%Y-%m-%d %H:%M:%S"
    return "%Y-%m-%d" if all(m.time() == time() for m in moments) else "%Y-%m-%d %H:%M"


def _time_text(value: object, pattern: str) -> str:
    assert isinstance(value, datetime), "a column of times"
    if pattern == "ms":
        return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
    return f"{value:{pattern}}"


def _places(value: Decimal) -> int:
    """Decimals that are needed to write it exactly."""
    exponent = value.normalize().as_tuple().exponent if value.is_finite() else 0
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _number_text(value: object, places: int) -> str:
    """All digits, with as many decimals as the column needs."""
    if isinstance(value, Decimal):
        return f"{value:.{places}f}" if value.is_finite() else str(value)
    return repr(value)


def _rounded(value: object) -> object:
    """A number of six digits, or as many as there are before the point."""
    if not isinstance(value, (Decimal, float)):
        return value
    exact = Decimal(value)
    if not exact.is_finite():
        return value
    return round(exact, max(0, _DIGITS - 1 - exact.adjusted())) if exact else Decimal(0)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value.isoformat()
    return cut_to(printable(str(value)), _LONGEST)


def printable(text: str) -> str:
    """The text on one line, without what would move the cursor or colour the terminal."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text.replace("\r\n", "\n")))


def _visible(character: str) -> str:
    if character == "\n":
        return "↵"
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return " " if character == "\t" else f"\\x{ord(character):02x}"


def cut_to(text: str, width: int) -> str:
    """The text, or as much of its beginning as fits, and …; a wide character takes two cells."""
    if _len(text) <= width:
        return text
    room, kept = width - 1, []
    for character in text:
        room -= _len(character)
        if room < 0:
            break
        kept.append(character)
    return f"{''.join(kept)}…"


def _len(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
