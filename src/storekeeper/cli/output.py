"""Rendering: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from storekeeper.cli.layout import GAP, lines, widths

if TYPE_CHECKING:
    from rich.console import Console

#: A file or a pipe has no width: a row is a line there, however long, for grep and awk.
UNBOUNDED = 10_000
_RULE = 100


def console(*, stderr: bool = False) -> Console:
    """Where people read: colours where a terminal shows them. What is printed is taken literally."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # which the command line ends by, with the exit code of a broken pipe

    shown = Piped(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not shown.is_terminal:
        shown.width = UNBOUNDED
    return shown


def heading(title: str) -> None:
    """Prints a line that begins a part."""
    shown = console()
    shown.print()
    shown.print(title, style="bold", end=" ")
    shown.print("─" * max(3, min(shown.width, _RULE) - len(title) - 1), style="dim")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Prints a table, folded where the terminal is narrow, so that nothing is lost.

    Numbers are aligned to the right, and so are the columns named in `right`. A table without rows is not printed.
    """
    values = [tuple(row) for row in rows]
    if not values:
        return
    of_columns = list(zip(*values, strict=True))
    cells = [list(row) for row in zip(*map(_texts, of_columns), strict=True)]
    to_right = [name in right or _are_numbers(column) for name, column in zip(columns, of_columns, strict=True)]
    shown = console()
    fitted = widths(columns, cells, to_right, shown.width)
    if title:
        shown.print(f"\n{title}", style="bold")
    for line in lines(columns, fitted, to_right):
        shown.print(line, style="bold", soft_wrap=True)
    shown.print(GAP.join("─" * width for width in fitted), style="dim", soft_wrap=True)
    for row in cells:
        for line in lines(row, fitted, to_right):
            shown.print(line, soft_wrap=True)


def emit_json(value: Mapping[str, object] | Sequence[object]) -> None:
    """One line of JSON on standard output: moments in ISO 8601, decimals as text."""
    print(json.dumps(value, default=_plain, ensure_ascii=False))  # noqa: T201  # the program's own output


def text(value: object) -> str:
    """A value as people read it: moments in UTC without a needless part, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" if not (value.second or value.microsecond) else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    return str(value)


def size(count: int | float | None) -> str:
    """Bytes as people read them: 4.2 MiB."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def duration(length: timedelta) -> str:
    """A length of time as people read it, by its two largest units: 45 s, 3 min 20 s, 2 d 5 h."""
    seconds = max(0, round(length.total_seconds()))
    counts = []
    for unit, of_unit in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, of_unit)
        if count:
            counts.append(f"{count} {unit}")
        elif counts:
            break
    return " ".join(counts[:2]) or "0 s"


def grouped(count: int | None) -> str:
    """A count with its thousands apart: 50,390."""
    return "" if count is None else f"{count:,}"


def briefly(outcome: str) -> str:
    """What a run came to, without what to do about it."""
    return outcome.partition("\nHINT: ")[0]


def counted(count: int, noun: str) -> str:
    """ "1 row", "2 rows", "50,390 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _texts(column: Sequence[object]) -> list[str]:
    """The cells of a column; moments that are all midnights are days."""
    moments = [value for value in column if isinstance(value, datetime)]
    if moments and all(not (m.hour or m.minute or m.second or m.microsecond) for m in moments):
        return [f"{value:%Y-%m-%d}" if isinstance(value, datetime) else text(value) for value in column]
    return [text(value) for value in column]


def _are_numbers(column: Sequence[object]) -> bool:
    known = [value for value in column if value is not None]
    return bool(known) and all(isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in known)


def _plain(value: Any) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
