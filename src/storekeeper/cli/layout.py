"""How a table is fitted into a width: which columns are folded, and where. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: Between two columns.
GAP = "  "
#: No column is made narrower than this, whatever the width: what does not fit then is left to the terminal.
_NARROWEST = 8
#: Where a text may be folded, at best after a word, else after a part of a name, else anywhere.
_AFTER_WORD = re.compile(r"\S+\s*")
_AFTER_PART = re.compile(r"[^\s._/@:-]*[\s._/@:-]*")


def widths(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], width: int) -> list[int]:
    """The widths of the columns so that a row fits into `width`, as far as that can be.

    The widest is narrowed first; none below its longest word while that is enough, then none below the longest part of
    a name, then none below a few characters. What is aligned to the right, a number or a size, is folded last.
    """
    texts = [[column, *(row[at] for row in rows)] for at, column in enumerate(columns)]
    found = [max(map(len, of_column)) for of_column in texts]
    room = width - len(GAP) * (len(columns) - 1)
    for pieces in (_AFTER_WORD, _AFTER_PART, None):
        least = [
            min(full, max(_least(of_column[:1], pieces), *map(len, of_column[1:]), 0))
            if to_right and pieces
            else min(full, _least(of_column, pieces))
            for full, of_column, to_right in zip(found, texts, right, strict=True)
        ]
        while sum(found) > room:
            wide = [at for at, now in enumerate(found) if now > least[at]]
            if not wide:
                break
            found[max(wide, key=lambda at: found[at])] -= 1
    return found


def lines(row: Sequence[str], fitted: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    """The lines of a row whose cells are folded into these widths, without blanks at their ends."""
    folded = [fold(cell, width) for cell, width in zip(row, fitted, strict=True)]
    for line in range(max(map(len, folded), default=0)):
        cells = [parts[line] if line < len(parts) else "" for parts in folded]
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, fitted, right, strict=True)
        ]
        yield GAP.join(padded).rstrip()


def fold(text: str, width: int) -> list[str]:
    """The text in pieces of at most `width`, nothing of it lost but blanks and line ends where it is folded."""
    folded: list[str] = []
    for line in text.split("\n"):
        rest = line
        while len(rest) > width:
            cut = _cut(rest, width)
            folded.append(rest[:cut].rstrip())
            rest = rest[cut:].lstrip()
        folded.append(rest)
    return folded


def _cut(text: str, width: int) -> int:
    for pieces in (_AFTER_WORD, _AFTER_PART):
        ends = [match.end() for match in pieces.finditer(text) if 0 < len(text[: match.end()].rstrip()) <= width]
        if ends:
            return ends[-1]
    return width


def _least(texts: Sequence[str], pieces: re.Pattern[str] | None) -> int:
    if pieces is None:
        return _NARROWEST
    return max((len(piece.rstrip()) for text in texts for piece in pieces.findall(text)), default=0)
