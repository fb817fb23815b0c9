"""NUMERIC columns: decimals of the column's precision and scale, exactly or, where the caller says so, rounded."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import numpy.typing as npt

from storekeeper.stores.sql.arrow import Array, DataType, pa, pc
from storekeeper.stores.sql.intake.kinds import MOST_DIGITS, Kind, decimal_type
from storekeeper.stores.sql.intake.misfit import Misfit, first_valid, python_value

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)
#: Below this every decimal is the only one of at most 15 digits that a double stands for: it is the shortest.
_SHORTEST = 10**15
#: A text that Arrow reads rightly whatever the type. What it has to move by some forty digits it may take for zero, or
#: for another number, without an error: 1e-45, or 1 with 44 zeros before it.
_PLAIN = r"^[+-]?[0-9.]{1,30}$"
_PLAIN_DIGITS = 30
#: Into this, a plain text always fits as it is.
_ROOMY = pa.decimal256(MOST_DIGITS, MOST_DIGITS // 2)
_EXACT_POWERS = 22  # 10**22 is the greatest power of ten that a double holds exactly


def to_decimals(array: Array, kind: Kind, places: int | None) -> tuple[Array, int]:
    """(the column's decimals, how many values were rounded).

    A float is the decimal of its shortest text: 0.1 is one tenth, 0.1 + 0.2 has 17 decimals. With `places`, values of
    more decimals are rounded half to even; without, they are misfits, as NaN and the infinities always are.
    """
    type_ = array.type
    if pa.types.is_floating(type_):
        return _from_floats(array, kind, places)
    if pa.types.is_integer(type_):
        array = pc.cast(array, pa.decimal128(20, 0))
    elif not (pa.types.is_decimal(type_) or pa.types.is_string(type_)):
        row = first_valid(array)
        raise Misfit(row, python_value(array, row), f"is {type_}, not a number")
    return _fitted(array, kind, places)


def _from_floats(array: Array, kind: Kind, places: int | None) -> tuple[Array, int]:
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False))
    values = array.fill_null(0.0).to_numpy(zero_copy_only=False)
    if kind.arrow is not None and pa.types.is_float64(array.type) and places is None:
        assert kind.precision is not None, "a bounded numeric has both"
        assert kind.scale is not None, "a bounded numeric has both"
        if kind.scale <= _EXACT_POWERS:
            power = float(10**kind.scale)
            with np.errstate(over="ignore"):
                units = np.rint(values * power)
            # a quotient of two exact doubles is rounded correctly: equal means that the decimal stands for this float;
            # NaN and the infinities never are
            if (np.abs(units) < min(_SHORTEST, 10**kind.precision)).all() and (units / power == values).all():
                return _of_units(units.astype(np.int64), present, kind), 0
    return _fitted(pc.cast(array, pa.string()), kind, places)


def _of_units(units: npt.NDArray[np.int64], present: npt.NDArray[np.bool_], kind: Kind) -> Array:
    assert kind.precision is not None, "a bounded numeric has both"
    assert kind.scale is not None, "a bounded numeric has both"
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63
    validity = None if present.all() else pa.array(present).buffers()[1]
    narrow = pa.decimal128(min(kind.precision, 38), kind.scale)
    decimals = pa.Array.from_buffers(narrow, len(units), [validity, pa.py_buffer(words)])
    return decimals if kind.arrow == narrow else pc.cast(decimals, kind.arrow)


def _fitted(array: Array, kind: Kind, places: int | None) -> tuple[Array, int]:
    """Texts or decimals as the column's decimals: by vectors, and value by value where those object."""
    if pa.types.is_decimal(array.type) and array.type.scale < 0:  # of these Arrow knows little
        return _one_by_one(array, kind, places)
    if kind.arrow is None and pa.types.is_decimal(array.type) and places is None:
        return array, 0
    if kind.arrow is not None and (pa.types.is_decimal(array.type) or _are_plain(array)):
        try:
            if places is None or places == kind.scale:
                return _exactly(array, kind.arrow), 0
        except pa.ArrowInvalid:
            pass
        if places is not None:
            try:
                return _rounded(array, kind.arrow, places)
            except pa.ArrowInvalid:
                pass
    return _one_by_one(array, kind, places)


def _are_plain(texts: Array) -> bool:
    return pc.all(pc.match_substring_regex(texts, _PLAIN)).as_py() is not False


def _exactly(array: Array, wanted: DataType) -> Array:
    """Decimals, or plain texts, as decimals of this type. Raises ArrowInvalid where a value would change: of decimals,
    and of texts that have little room in the type, Arrow does not always say it."""
    if not pa.types.is_decimal(array.type):
        if _PLAIN_DIGITS + wanted.scale <= (38 if pa.types.is_decimal128(wanted) else MOST_DIGITS):
            return pc.cast(array, wanted)
        array = pc.cast(array, _ROOMY)
    moved = pc.cast(array, wanted)
    if pc.all(pc.equal(pc.cast(moved, array.type), array)).as_py() is False:
        raise pa.ArrowInvalid("a value does not fit")
    return moved


def _rounded(array: Array, wanted: DataType, places: int) -> tuple[Array, int]:
    wide = array if pa.types.is_decimal(array.type) else pc.cast(array, _ROOMY)
    rounded = pc.round(wide, ndigits=places, round_mode="half_to_even")
    changed = pc.sum(pc.not_equal(wide, rounded)).as_py() or 0
    return _exactly(rounded, wanted), int(changed)


def _one_by_one(array: Array, kind: Kind, places: int | None) -> tuple[Array, int]:
    result: list[Decimal | None] = []
    changed = 0
    for row, value in enumerate(array.to_pylist()):
        if value is None:
            result.append(None)
            continue
        decimal = value if isinstance(value, Decimal) else _decimal(row, value)
        if places is not None and _decimals(decimal) > places and decimal.adjusted() < MOST_DIGITS:
            # what is far below the last place would need too many digits to be quantized
            decimal = _WIDE.quantize(decimal, Decimal(1).scaleb(-places)) if decimal.adjusted() > -150 else Decimal(0)
            changed += 1
        _check(row, value, decimal, kind)
        result.append(_plain(decimal, kind.scale))
    return pa.array(result, kind.arrow), changed


def _decimal(row: int, text: str) -> Decimal:
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    raise Misfit(row, text, "is no finite number" if _NOT_FINITE.fullmatch(text) else "is not a number")


def _decimals(value: Decimal) -> int:
    """How many decimals the value needs, zeros at its end left out."""
    if not value:
        return 0
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "only finite numbers come here"
    zeros = 0
    for digit in reversed(digits):
        if digit:
            break
        zeros += 1
    return max(0, -(exponent + zeros))


def _check(row: int, value: object, decimal: Decimal, kind: Kind) -> None:
    whole = MOST_DIGITS // 2 if kind.precision is None or kind.scale is None else kind.precision - kind.scale
    if decimal and decimal.adjusted() >= whole:
        raise Misfit(row, value, f"is too large for {kind}")
    if _decimals(decimal) > (MOST_DIGITS // 2 if kind.scale is None else kind.scale):
        raise Misfit(row, value, f"has more decimals than {kind} holds")


def _plain(decimal: Decimal, scale: int | None) -> Decimal:
    """The same number without an exponent above zero, which Arrow would refuse, and without zeros past the scale."""
    if not decimal:
        return Decimal(0)
    if scale is not None:
        return _WIDE.quantize(decimal, Decimal(1).scaleb(-scale))
    exponent = decimal.as_tuple().exponent
    assert isinstance(exponent, int), "only finite numbers come here"
    return decimal if exponent <= 0 else _WIDE.quantize(decimal, Decimal(1))


def wide_enough(types: list[DataType]) -> DataType:
    """A decimal that holds the values of all of these."""
    scale = max(type_.scale for type_ in types)
    whole = max(type_.precision - type_.scale for type_ in types)
    return decimal_type(min(whole + scale, MOST_DIGITS), scale)
