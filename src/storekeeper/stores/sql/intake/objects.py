"""Columns of Python objects, as lists of dicts and pandas' object columns have them, as Arrow arrays."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from storekeeper.stores.sql.arrow import Array, DataType, pa
from storekeeper.stores.sql.intake.kinds import Kind
from storekeeper.stores.sql.intake.misfit import Misfit
from storekeeper.stores.sql.intake.texts import json_text
from storekeeper.stores.sql.intake.times import INSTANT, NAIVE, OUTSIDE, to_instants

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def from_objects(values: Sequence[object], kind: Kind, *, missing: Callable[[object], bool] | None = None) -> Array:
    """The values in an Arrow type from which the kind's is one exact step away. Raises Misfit.

    `missing` says which values besides None stand for NULL (pandas' NaN, NaT and NA).
    """
    if missing is not None:
        values = [None if missing(value) else value for value in values]
    match kind.name:
        case "numeric" | "int8" | "int4" | "int2" | "float8" | "float4":
            return _each(values, _number, pa.string())
        case "timestamptz":
            return _each(values, _ticks, pa.int64()).view(INSTANT)
        case "date":
            return _each(values, _date, pa.date32())
        case "bool":
            return _each(values, _boolean, pa.bool_())
        case "uuid":
            return _each(values, _uuid, pa.binary(16))
        case "jsonb" | "json":
            return _each(values, json_text, pa.string())
        case "bytea":
            return _each(values, _bytes, pa.binary())
        case _:
            return _each(values, _text, pa.string())


def _each(values: Sequence[object], convert: Callable[[int, Any], object], type_: DataType) -> Array:
    converted = [None if value is None else convert(row, value) for row, value in enumerate(values)]
    return pa.array(converted, type_)


def _number(row: int, value: object) -> str:
    """A number as the shortest text that stands for it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise Misfit(row, value, f"is {type(value).__name__}, not a number")
    return repr(value) if isinstance(value, float) else str(value)


def _ticks(row: int, value: object) -> int:
    """Microseconds since 1970."""
    if isinstance(value, str):
        try:
            return int(to_instants(pa.array([value]))[0].value)
        except Misfit as misfit:
            misfit.row = row
            raise
    if isinstance(value, datetime):
        if value != value:  # pandas' NaT
            raise Misfit(row, value, "is not a time")
        if value.tzinfo is None or value.utcoffset() is None:
            raise Misfit(row, value, NAIVE, naive=True)
        if getattr(value, "nanosecond", 0):  # pandas' Timestamp is a datetime that has some
            raise Misfit(row, value, "is finer than a microsecond")
        try:
            return (value.astimezone(UTC) - _EPOCH) // _MICROSECOND
        except OverflowError as error:
            raise Misfit(row, value, OUTSIDE) from error
    if isinstance(value, (date, np.datetime64)):
        raise Misfit(row, value, NAIVE, naive=True)
    raise Misfit(row, value, f"is {type(value).__name__}, not a time")


def _date(row: int, value: object) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise Misfit(row, value, "is no date as YYYY-MM-DD") from error
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise Misfit(row, value, f"is {type(value).__name__}, not a date")


def _boolean(row: int, value: object) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise Misfit(row, value, f"is {type(value).__name__}, not a boolean")


def _uuid(row: int, value: object) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value).bytes
        except ValueError as error:
            raise Misfit(row, value, "is no UUID") from error
    raise Misfit(row, value, f"is {type(value).__name__}, not a UUID")


def _bytes(row: int, value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise Misfit(row, value, f"is {type(value).__name__}, not bytes")


def _text(row: int, value: object) -> str:
    if not isinstance(value, str):
        raise Misfit(row, value, f"is {type(value).__name__}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Misfit(row, value.encode(errors="replace").decode(), "holds half of a surrogate pair") from error
    return value
