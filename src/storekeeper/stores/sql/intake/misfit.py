"""Misfit: what is wrong with one value of a column, before it is known where the column came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storekeeper.stores.sql.arrow import Array, pa

_SHOWN = 60


class Misfit(Exception):  # noqa: N818  # it never leaves the package: it becomes a ValueFitError or a NaiveTimeError
    """A value that its column cannot take. `row` counts within the array that was looked at; `naive` marks a time
    without a zone."""

    def __init__(self, row: int, value: object, rule: str, *, naive: bool = False) -> None:
        super().__init__(row, value, rule)
        self.row = row
        self.value = value
        self.rule = rule
        self.naive = naive

    def __str__(self) -> str:
        return f"{shown(self.value)} {self.rule}"


def shown(value: object) -> str:
    """A value as an error may show it: short, and without line ends."""
    if value is None:
        return "a value"
    text = value if isinstance(value, str) else str(value)
    quoted = repr(text) if isinstance(value, str) else text
    return quoted if len(quoted) <= _SHOWN else f"{quoted[: _SHOWN - 1]}…"


def cast_or_misfit(array: Array, cast: Callable[[Array], Array], why: Callable[[Any], str]) -> Array:
    """`cast(array)`; where that is refused, a Misfit of the first value that is refused by itself."""
    try:
        return cast(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        low, high = 0, len(array)  # the first failing value lies in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                cast(array.slice(low, middle - low))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                high = middle
            else:
                low = middle
        value = python_value(array, low)
        raise Misfit(low, value, why(value)) from error


def python_value(array: Array, row: int) -> object:
    """The value as Python's, or as text where Python has none for it (a year above 9999)."""
    try:
        return array[row].as_py()
    except (ValueError, OverflowError):
        return array[row].cast(pa.string()).as_py()


def first_true(mask: Any) -> int:
    """The place of the first True of a numpy mask that has one."""
    return int(mask.argmax())


def first_valid(array: Array) -> int:
    return first_true(array.is_valid().to_numpy(zero_copy_only=False))
