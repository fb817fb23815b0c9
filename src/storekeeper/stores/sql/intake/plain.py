"""Integer, float and boolean columns."""

from __future__ import annotations

from storekeeper.stores.sql.arrow import Array, DataType, pa, pc
from storekeeper.stores.sql.intake.kinds import Kind
from storekeeper.stores.sql.intake.misfit import Misfit, cast_or_misfit, first_true, first_valid, python_value
from storekeeper.stores.sql.intake.numerics import to_decimals

_TRUE = ("t", "true", "y", "yes", "on", "1")
_FALSE = ("f", "false", "n", "no", "off", "0")
_WHOLE = Kind("numeric", precision=38, scale=0)


def to_integers(array: Array, kind: Kind) -> Array:
    """Whole numbers within the type's bounds: of integers, whole floats, whole decimals, or texts of such."""
    wanted = kind.arrow
    assert wanted is not None, "integers have an Arrow type"
    if array.type == wanted:
        return array
    if not pa.types.is_integer(array.type):
        try:
            array, _ = to_decimals(array, _WHOLE, None)
        except Misfit as misfit:
            misfit.rule = misfit.rule.replace(str(_WHOLE), str(kind))
            if "decimals" in misfit.rule:
                misfit.rule = "is not a whole number"
            raise
    return cast_or_misfit(array, lambda part: pc.cast(part, wanted), lambda _: f"is too large for {kind}")


def to_floats(array: Array, kind: Kind) -> Array:
    """Floats of any numbers, or of texts of such (NaN and the infinities included); the nearest one is taken, and of a
    number beyond them all none is."""
    wanted = kind.arrow
    assert wanted is not None, "floats have an Arrow type"
    if array.type == wanted:
        return array
    if not (pa.types.is_string(array.type) or pa.types.is_decimal(array.type) or _is_number(array.type)):
        row = first_valid(array)
        raise Misfit(row, python_value(array, row), f"is {array.type}, not a number")
    found = cast_or_misfit(array, lambda part: pc.cast(part, wanted, safe=False), lambda _: "is not a number")
    if pc.any(pc.is_inf(found)).as_py():
        beyond = pc.and_not(pc.is_inf(found), _is_infinite(array)).fill_null(False).to_numpy(zero_copy_only=False)
        if beyond.any():
            row = first_true(beyond)
            raise Misfit(row, python_value(array, row), f"is too large for {kind}")
    return found


def to_booleans(array: Array) -> Array:
    """Booleans of booleans, or of the words that PostgreSQL knows for them."""
    if pa.types.is_boolean(array.type):
        return array
    if not pa.types.is_string(array.type):
        row = first_valid(array)
        raise Misfit(row, python_value(array, row), f"is {array.type}, not a boolean")
    words = pc.utf8_lower(array)
    # the first pa.array of a process imports pandas: not by importing this
    true, false = (pc.is_in(words, pa.array(spellings)) for spellings in (_TRUE, _FALSE))
    known = pc.or_(pc.or_(true, false), array.is_null()).to_numpy(zero_copy_only=False)
    if not known.all():
        row = first_true(~known)
        raise Misfit(row, python_value(array, row), "is neither true nor false")
    return pc.if_else(array.is_valid(), true, pa.scalar(None, pa.bool_()))


def _is_infinite(array: Array) -> Array:
    if pa.types.is_string(array.type):
        return pc.match_substring(array, "inf", ignore_case=True)
    if pa.types.is_floating(array.type):
        return pc.is_inf(array)
    return pa.array([False] * len(array))


def _is_number(type_: DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))
