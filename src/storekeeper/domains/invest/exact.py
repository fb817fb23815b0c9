"""Exact numbers: what fits a NUMERIC column as it is, and how what does not is rounded. Pure.

Rounding is half up, away from zero: as PostgreSQL rounds, so that a query over the history finds the same numbers.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final

from storekeeper import InputError

#: Wide enough for every product of two columns, whatever the thread's own context is.
EXACT: Final = Context(prec=80, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])


def rounded(value: Decimal, places: int) -> Decimal:
    """The value with this many decimals."""
    return value.quantize(Decimal(1).scaleb(-places), context=EXACT)


def fits(value: Decimal, digits: int, places: int) -> bool:
    """Whether NUMERIC(digits, places) can hold the value, once it is rounded to its decimals."""
    return abs(value) < Decimal(10) ** (digits - places)


def checked(value: Decimal | int, digits: int, places: int, *, name: str, operation: str) -> Decimal:
    """The value as NUMERIC(digits, places) holds it. Raises InputError where that would change it."""
    if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
        raise InputError(f"{name} is a {type(value).__name__}, not a Decimal", operation=operation, target=name)
    number = Decimal(value)
    if not number.is_finite() or not fits(number, digits, places) or rounded(number, places) != number:
        raise InputError(
            f"{name} {number} does not fit NUMERIC({digits},{places})",
            operation=operation,
            target=name,
            hint=f"at most {digits - places} digits before the point and {places} after it",
        )
    return rounded(number, places)


def share(part: Decimal, whole: Decimal) -> Decimal | None:
    """`part` in percent of `whole`, with four decimals; None where there is nothing to compare with, or where the
    result is beyond the 999.9999 that the columns of percents can hold."""
    if not whole:
        return None
    percent = rounded(EXACT.divide(EXACT.multiply(part, Decimal(100)), whole), 4)
    return percent if fits(percent, 7, 4) else None
