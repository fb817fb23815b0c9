"""One column into the Arrow type of its kind, exactly, or an error that names row, column, value and rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from storekeeper.errors import NaiveTimeError, ValueFitError
from storekeeper.stores.sql.arrow import Array, pa, pc
from storekeeper.stores.sql.intake.kinds import Kind
from storekeeper.stores.sql.intake.misfit import Misfit, first_valid, python_value
from storekeeper.stores.sql.intake.numerics import to_decimals
from storekeeper.stores.sql.intake.plain import to_booleans, to_floats, to_integers
from storekeeper.stores.sql.intake.texts import to_bytes, to_json, to_texts, to_uuids
from storekeeper.stores.sql.intake.times import to_dates, to_instants

#: Says where a row came from: "row 3", or "line 5" of a file.
Locate = Callable[[int], str]

#: What pandas numbers, and no number says which period it is.
_PERIOD = "pandas.period"


def convert(array: Array, kind: Kind, *, column: str) -> Array:
    """The array as the kind's Arrow type. Raises ValueFitError or NaiveTimeError; rows count within the array."""
    try:
        return fitted(array, kind)[0]
    except Misfit as misfit:
        raise as_error(misfit, column=column) from misfit


def fitted(array: Array, kind: Kind, places: int | None = None) -> tuple[Array, int]:
    """(the array as the kind's Arrow type, how many of its values were rounded to `places`). Raises Misfit."""
    array = _unpacked(array)
    if array.null_count == len(array):  # an unbounded numeric is a decimal of any size
        return pa.nulls(len(array), kind.arrow or pa.decimal128(1, 0)), 0
    match kind.name:
        case "numeric":
            return to_decimals(array, kind, places)
        case "timestamptz":
            return to_instants(array), 0
        case "date":
            return to_dates(array), 0
        case "int8" | "int4" | "int2":
            return to_integers(array, kind), 0
        case "float8" | "float4":
            return to_floats(array, kind), 0
        case "bool":
            return to_booleans(array), 0
        case "text":
            return to_texts(array, kind), 0
        case "jsonb" | "json":
            return to_json(array, kind), 0
        case "uuid":
            return to_uuids(array), 0
        case "bytea":
            return to_bytes(array), 0
        case _:
            assert_never(kind.name)


def as_error(
    misfit: Misfit,
    *,
    column: str,
    operation: str = "",
    target: str = "",
    first_row: int = 0,
    locate: Locate = "row {}".format,
) -> ValueFitError | NaiveTimeError:
    """The error that says what a misfit is, and where it stands."""
    row = first_row + misfit.row
    cause = f"{locate(row)}, column {column}: {misfit}"
    if misfit.naive:
        return NaiveTimeError(
            cause, operation=operation, target=target, hint="give an offset, such as +00:00 or Z, or name the zone"
        )
    hint = f"allow it by round_to={{'{column}': …}}" if "more decimals" in misfit.rule else ""
    return ValueFitError(cause, operation=operation, target=target, hint=hint, row=row, column=column)


def _unpacked(array: Array) -> Array:
    """The array without dictionary, extension type, or another layout of text and bytes. Raises Misfit."""
    if isinstance(array, pa.ExtensionArray):
        if array.type.extension_name == _PERIOD and array.null_count < len(array):
            row = first_valid(array)
            raise Misfit(row, python_value(array.storage, row), "is the number of a pandas period: no time, no amount")
        array = array.storage
    if pa.types.is_dictionary(array.type):
        # its values first: those of another layout cannot be taken from
        array = pa.DictionaryArray.from_arrays(array.indices, _unpacked(array.dictionary)).dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return pc.cast(array, pa.string())
    if pa.types.is_large_binary(array.type) or pa.types.is_binary_view(array.type):
        return pc.cast(array, pa.binary())
    return array
