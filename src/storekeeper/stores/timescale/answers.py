"""Rows on their way out: PostgreSQL's types as Arrow's, rows as columns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from storekeeper.errors import ValueFitError
from storekeeper.stores.sql.arrow import Array, DataType, Table, pa

#: Of NUMERIC without bound: digits, and how many of them are decimals.
_WIDEST = (76, 38)


def arrow_type(kind: sa.types.TypeEngine[Any], *, exact: bool) -> DataType:
    """The Arrow type of a column as it is selected: NUMERIC as float64, or as a decimal where it is to be exact; what
    Arrow has no type for comes as text."""
    match kind:
        case sa.Float():
            return pa.float64()
        case sa.Numeric():
            if not exact:
                return pa.float64()
            if kind.precision is None:
                return pa.decimal256(*_WIDEST)
            wide = pa.decimal128 if kind.precision <= 38 else pa.decimal256
            return wide(kind.precision, kind.scale or 0)
        case sa.SmallInteger():
            return pa.int16()
        case sa.BigInteger():
            return pa.int64()
        case sa.Integer():
            return pa.int32()
        case sa.Boolean():
            return pa.bool_()
        case sa.DateTime(timezone=True):
            return pa.timestamp("us", tz="UTC")
        case sa.DateTime():
            return pa.timestamp("us")
        case sa.Date():
            return pa.date32()
        case _:
            return pa.string()


def schema_of(columns: Iterable[tuple[str, sa.types.TypeEngine[Any]]], *, exact: bool) -> Any:
    return pa.schema([pa.field(name, arrow_type(kind, exact=exact)) for name, kind in columns])


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
