"""NUMERIC as COPY BINARY carries it, read for many rows at once: the nearest float64, or an exact decimal.

A numeric is a run of digits to the base of 10000, the place of the first (its weight), a sign. Digits that make up an
integer below 2^53 become a float by one division or multiplication of two exact numbers, which is correctly rounded;
others pass through text, as does a decimal that 64 bits do not hold.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from storekeeper.stores.sql.arrow import Array, DataType, pa, pc

#: Bytes that may be fetched behind the last row.
PADDING: Final = 4096

_FEW: Final = 4  # digits that are fetched with the rest; 10^16 fits an int64
_MANY: Final = (PADDING - 12) // 2
#: Digits that are spread out at once: of rows among which one has very many, half as many are taken.
_SPREAD: Final = 1 << 22
_EXACT: Final = 2**53
_NEGATIVE, _NAN, _INFINITY, _MINUS_INFINITY = 0x4000, 0xC000, 0xD000, 0xF000
#: 10000^n as exact float64.
_POWERS: Final = np.array([10.0 ** (4 * n) for n in range(6)])
_TENS: Final = 10 ** np.arange(19, dtype=np.int64)

Words = npt.NDArray[np.int64]
_QUADS: Final = np.frombuffer(b"".join(b"%04d" % n for n in range(10_000)), dtype="V4")


class MisfitError(Exception):
    """A value has no place in the Arrow type of its column."""


def numeric_cells(content: npt.NDArray[np.uint8], at: Words, type_: DataType) -> tuple[Array, Words]:
    """The numerics whose length words stand at `at`, as float64 or as a decimal; and how many bytes each took.

    Raises MisfitError where a decimal has no room for one, or a float64 none for its size.
    """
    raw = _raw_words(content, at, 6 + _FEW)
    words = raw[:5].astype(np.int64, order="C")
    missing = words[0] == 0xFFFF  # a length of -1; others end long before
    counts, weights, signs = words[2], words[3], words[4]
    weights = np.where(weights > 0x7FFF, weights - 0x10000, weights)
    valid = None
    if missing.any():
        valid = ~missing
        counts = np.where(valid, counts, 0)
        weights, signs = np.where(valid, weights, 0), np.where(valid, signs, 0)
    sizes = counts * 2 + 8
    if ((words[0] << 16 | words[1]) != (sizes if valid is None else np.where(valid, sizes, 0xFFFF_FFFF))).any():
        raise MisfitError("the server sent something else than a numeric")
    most = int(counts.max(initial=0))
    if most > _MANY:
        raise MisfitError("a number has too many digits")
    if most > _FEW and most * len(at) > _SPREAD and len(at) > 1:
        middle = len(at) // 2
        pieces = [numeric_cells(content, piece, type_) for piece in (at[:middle], at[middle:])]
        return pa.concat_arrays([array for array, _ in pieces]), np.concatenate([size for _, size in pieces])
    digits = (raw[6 : 6 + most] if most <= _FEW else _raw_words(content, at + 12, most)).astype(np.int64, order="C")
    exponents = weights - counts + 1
    taken = 4 + (sizes if valid is None else np.where(valid, sizes, 0))
    if pa.types.is_decimal(type_):
        if (signs > _NEGATIVE).any():
            raise MisfitError("a number is NaN or infinite, which a decimal cannot be")
        return _decimals(digits, counts, exponents, signs == _NEGATIVE, valid, type_), taken
    return _array(type_, _floats(digits, counts, exponents, signs), valid), taken


def _raw_words(content: npt.NDArray[np.uint8], at: Words, count: int) -> npt.NDArray[np.uint16]:
    """`count` words of two bytes from each place, as they were sent: (count, rows)."""
    width = 2 * count
    view = np.ndarray((len(content) - width + 1,), dtype=f"V{width}", buffer=content, strides=(1,))
    return view[at].view(">u2").reshape(len(at), count).T


def _joined(digits: Words, counts: Words) -> Words:
    """The digits of each row as one integer."""
    value = np.zeros(len(counts), dtype=np.int64)
    least = int(counts.min(initial=0))
    for place, digit in enumerate(digits):
        value = value * 10_000 + digit if place < least else np.where(counts > place, value * 10_000 + digit, value)
    return value


def _floats(digits: Words, counts: Words, exponents: Words, signs: Words) -> npt.NDArray[np.float64]:
    if len(digits) <= _FEW:
        whole = _joined(digits, counts)
        magnitude = np.minimum(np.abs(exponents), len(_POWERS) - 1)
        values = whole.astype(np.float64)
        values = np.where(exponents < 0, values / _POWERS[magnitude], values * _POWERS[magnitude])
        hard = np.nonzero((whole >= _EXACT) | ((magnitude != np.abs(exponents)) & (whole != 0)))[0]
    else:
        values, hard = np.empty(len(counts)), np.arange(len(counts))
    if len(hard):
        values[hard] = pc.cast(_texts(digits[:, hard], counts[hard], exponents[hard]), pa.float64()).to_numpy()
        if np.isinf(values[hard]).any():
            raise MisfitError("a number is too large for float64")
    if signs.any():
        values = np.where(signs == _NEGATIVE, -values, values)
        for sign, meant in ((_NAN, np.nan), (_INFINITY, np.inf), (_MINUS_INFINITY, -np.inf)):
            values[signs == sign] = meant
    return values


def _decimals(
    digits: Words,
    counts: Words,
    exponents: Words,
    negative: npt.NDArray[np.bool_],
    valid: npt.NDArray[np.bool_] | None,
    type_: DataType,
) -> Array:
    shifts = 4 * exponents + type_.scale  # tens by which the joined digits become multiples of the last decimal
    if len(digits) <= _FEW and type_.bit_width == 128:
        whole = _joined(digits, counts)
        shifts = np.where(whole == 0, 0, shifts)
        size = whole * 10.0 ** np.minimum(shifts, 40)
        if (size < 9e18).all():
            up = whole * _TENS[np.clip(shifts, 0, 18)]
            down = np.nonzero(shifts < 0)[0]
            if len(down):
                # at most 16 digits: beyond that nothing is left, which the remainder tells
                by = _TENS[np.minimum(-shifts[down], 18)]
                up[down] = whole[down] // by
                if (up[down] * by != whole[down]).any():
                    raise MisfitError(f"a number has more than {type_.scale} decimals")
            if type_.precision < 19 and int(up.max(initial=0)) >= 10**type_.precision:
                raise MisfitError(f"a number has more than {type_.precision} digits")
            pairs = np.empty((len(up), 2), dtype=np.int64)
            pairs[:, 0] = np.where(negative, -up, up)
            pairs[:, 1] = pairs[:, 0] >> 63
            return _array(type_, pairs, valid)
    texts = _texts(digits, counts, exponents, negative, np.maximum(-shifts, 0))
    if valid is not None:
        texts = pc.if_else(pa.array(valid), texts, pa.scalar(None, pa.string()))
    try:
        return pc.cast(texts, type_)
    except pa.ArrowInvalid as error:  # it quotes the text that was made above
        raise MisfitError(f"a number has more than {type_.precision} digits") from error


def _texts(
    digits: Words,
    counts: Words,
    exponents: Words,
    negative: npt.NDArray[np.bool_] | None = None,
    surplus: Words | None = None,
) -> Array:
    """Numbers as text, all of one width: sign, digits with zeros before them, exponent.

    `surplus` last digits are left out, which must be zeros: Arrow would count them as decimals.
    """
    rows, most = len(counts), len(digits)
    places = np.arange(most)[:, None] - (most - counts)[None, :]  # the last digits stand below one another
    aligned = np.where(places >= 0, np.take_along_axis(digits, np.maximum(places, 0), axis=0), 0) if most else digits
    last = 2 + 4 * most  # a zero stands before all digits, so that there is one
    text = np.full((rows, last + 9), ord("0"), dtype=np.uint8)
    for place in range(most):
        text[:, 2 + 4 * place : 6 + 4 * place] = _QUADS[aligned[place]].view(np.uint8).reshape(rows, 4)
    tens = 4 * exponents
    if surplus is not None:
        surplus = np.minimum(surplus, 4 * most)
        for cut in np.unique(surplus[surplus > 0]).tolist():
            (chosen,) = np.nonzero(surplus == cut)
            if (text[chosen, last - cut : last] != ord("0")).any():
                raise MisfitError("a number has more decimals than its column")
            text[chosen, 2 + cut : last] = text[chosen, 2 : last - cut]
            text[chosen, 2 : 2 + cut] = ord("0")
        tens = tens + surplus
    if negative is not None:
        text[negative, 0] = ord("-")
    text[:, last] = ord("e")
    text[:, last + 1] = np.where(tens < 0, ord("-"), ord("+"))
    magnitude = np.abs(tens)
    for place in range(7):
        text[:, last + 8 - place] = ord("0") + magnitude // 10**place % 10
    bounds = np.arange(0, (rows + 1) * (last + 9), last + 9, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(bounds), pa.py_buffer(text)])


def _array(type_: DataType, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None) -> Array:
    buffer = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(type_, len(values), [buffer, pa.py_buffer(values)])
