"""TIMESTAMPTZ and DATE columns: instants in UTC to the microsecond; a time without a zone is a misfit."""

from __future__ import annotations

from storekeeper.stores.sql.arrow import Array, DataType, pa, pc
from storekeeper.stores.sql.intake.misfit import Misfit, cast_or_misfit, first_true, first_valid, python_value

INSTANT = pa.timestamp("us", tz="UTC")
NAIVE = "has no time zone"
OUTSIDE = "is outside of the years 1 to 9999"
#: The years 1 to 9999: what Python, pandas' users and ISO 8601 can write.
_FIRST, _PAST = -62_135_596_800_000_000, 253_402_300_800_000_000


def to_instants(array: Array) -> Array:
    """Instants of aware timestamps, or of texts in ISO 8601 with an offset or Z."""
    type_ = array.type
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        if type_.unit == "us":
            return _within_years(array.view(INSTANT) if type_ != INSTANT else array)
        why = "is finer than a microsecond" if type_.unit == "ns" else OUTSIDE
        return _within_years(cast_or_misfit(array, lambda part: pc.cast(part, INSTANT), lambda _: why))
    if pa.types.is_string(type_):
        try:
            return _within_years(cast_or_misfit(array, lambda part: pc.cast(part, INSTANT), why_no_instant))
        except Misfit as misfit:
            misfit.naive = misfit.rule == NAIVE
            raise
    row = first_valid(array)
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        raise Misfit(row, python_value(array, row), NAIVE, naive=True)
    raise Misfit(row, python_value(array, row), f"is {type_}, not a time")


def to_dates(array: Array) -> Array:
    """Dates of dates, or of texts written YYYY-MM-DD."""
    type_ = array.type
    if pa.types.is_date32(type_):
        return array
    if pa.types.is_date(type_) or pa.types.is_string(type_):
        return cast_or_misfit(array, lambda part: pc.cast(part, pa.date32()), lambda _: "is no date as YYYY-MM-DD")
    row = first_valid(array)
    raise Misfit(row, python_value(array, row), f"is {type_}, not a date")


def why_no_instant(text: str) -> str:
    """Why a text is no instant."""
    if _reads(text, pa.timestamp("us")) or _reads(text, pa.timestamp("ns")):
        return NAIVE
    if _reads(text, pa.timestamp("ns", tz="UTC")):
        return "is finer than a microsecond"
    return "is no time as ISO 8601 writes it"


def _reads(text: str, type_: DataType) -> bool:
    try:
        pc.cast(pa.scalar(text), type_)
    except pa.ArrowInvalid:
        return False
    return True


def _within_years(instants: Array) -> Array:
    bounds = pc.min_max(instants.view(pa.int64())).as_py()
    if bounds["min"] is not None and (bounds["min"] < _FIRST or bounds["max"] >= _PAST):
        ticks = instants.view(pa.int64()).fill_null(0).to_numpy()
        row = first_true((ticks < _FIRST) | (ticks >= _PAST))
        raise Misfit(row, python_value(instants, row), OUTSIDE)
    return instants
