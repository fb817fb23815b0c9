"""Rows on their way out: PostgreSQL's types as Arrow's, rows as columns. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from storekeeper.errors import ValueFitError
from storekeeper.stores.sql.arrow import Array, DataType, Table, pa, pc
from storekeeper.stores.sql.copy_decode import Decoder, Field, Wire
from storekeeper.timescale.shapes import Shape

#: Of NUMERIC without bound: digits, and how many of them are decimals.
_WIDEST = (76, 38)
#: Where a table says by which columns its lines are told apart.
_BY: Final = b"storekeeper.by"


def arrow_type(kind: sa.types.TypeEngine[Any], *, exact: bool, zone: str = "UTC") -> DataType:
    """The Arrow type of a column as it is selected: NUMERIC as float64, or as a decimal where it is to be exact;
    instants in `zone`; what Arrow has no type for comes as text."""
    match kind:
        case sa.Float():
            return pa.float64()
        case sa.Numeric():
            if not exact:
                return pa.float64()
            if kind.precision is None:
                return pa.decimal256(*_WIDEST)
            wide = pa.decimal128 if kind.precision <= 38 else pa.decimal256
            most, _ = _WIDEST  # of a wider one what fits can be read all the same
            return wide(min(kind.precision, most), min(kind.scale or 0, most))
        case sa.SmallInteger():
            return pa.int16()
        case sa.BigInteger():
            return pa.int64()
        case sa.Integer():
            return pa.int32()
        case sa.Boolean():
            return pa.bool_()
        case sa.DateTime(timezone=True):
            return pa.timestamp("us", tz=zone)
        case sa.DateTime():
            return pa.timestamp("us")
        case sa.Date():
            return pa.date32()
        case _:
            return pa.string()


def schema_of(columns: Iterable[tuple[str, sa.types.TypeEngine[Any]]], *, exact: bool, zone: str = "UTC") -> Any:
    return pa.schema([pa.field(name, arrow_type(kind, exact=exact, zone=zone)) for name, kind in columns])


def decoder_of(
    columns: Iterable[tuple[str, sa.types.TypeEngine[Any]]],
    *,
    exact: bool,
    zone: str = "UTC",
    cast: bool,
    operation: str,
    target: str,
) -> Decoder:
    """What makes record batches of the server's rows; their schema is that of `schema_of`.

    `cast` says that the statement makes a float8 of NUMERIC where it is not to be exact. The server takes longer for
    that than for sending the digits, of which the decoder makes the same float.
    """
    fields = [
        Field(name, _wire(kind, cast=cast and not exact), arrow_type(kind, exact=exact, zone=zone))
        for name, kind in columns
    ]
    return Decoder(fields, operation=operation, target=target)


def _wire(kind: sa.types.TypeEngine[Any], *, cast: bool) -> Wire:
    """How the server sends a column that is selected as `as_read` says."""
    match kind:
        case sa.Float():
            return "float"
        case sa.Numeric():
            return "float" if cast else "numeric"
        case sa.Integer():
            return "integer"
        case sa.Boolean():
            return "bool"
        case sa.DateTime():
            return "timestamp"
        case sa.Date():
            return "date"
        case _:
            return "text"


def averaged(table: Table, shape: Shape, *, exact: bool) -> Table:
    """Bars as they were selected (`selected_columns`) with their average price as the last step; null where no volume
    was traded."""
    if exact or shape.average is None:
        return table
    product, volume = (measure.name for measure in shape.average)
    place, traded = table.column_names.index(product), table.column(volume)
    traded = pc.if_else(pc.equal(traded, 0.0), pa.scalar(None, pa.float64()), traded)
    shown: Table = table.set_column(place, "vwap", pc.divide(table.column(product), traded))
    return shown


def with_keys(table: Table, by: Sequence[str]) -> Table:
    """The same table, which says of itself by which columns its lines are told apart: as metadata of its schema, that
    Parquet files keep, and frames of pandas and Polars do not."""
    known = table.schema.metadata or {}
    told: Table = table.replace_schema_metadata({**known, _BY: json.dumps(list(by)).encode()})
    return told


def keys_told(table: Table) -> tuple[str, ...] | None:
    """What `with_keys` has told of a table; None where nobody has."""
    told = (table.schema.metadata or {}).get(_BY)
    return None if told is None else tuple(json.loads(told))


def batch_of(rows: Sequence[Sequence[Any]], schema: Any, *, target: str) -> Any:
    """Rows as one record batch. Raises ValueFitError where a decimal has more digits than Arrow's."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [_array(values, field, target) for values, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def table_of(batches: Sequence[Any], schema: Any) -> Table:
    table: Table = pa.Table.from_batches(batches, schema=schema)
    return table


def _array(values: Sequence[Any], field: Any, target: str) -> Array:
    try:
        return pa.array(values, type=field.type)
    except pa.ArrowInvalid as error:
        raise ValueFitError(
            str(error), operation="read", target=target, column=field.name, hint="read it without exact=True"
        ) from error
