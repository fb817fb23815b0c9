"""The columns of a dataset out of the columns of a file: copied, put together, halved between, or constant."""

from __future__ import annotations

from typing import assert_never

from storekeeper.ingest.mapping import ColumnSource, FromColumn, FromConstant, FromMid, FromTemplate
from storekeeper.ingest.moments import to_instants
from storekeeper.stores.sql.arrow import Array, RecordBatch, pa, pc
from storekeeper.stores.sql.intake import Kind, Misfit, fitted

#: (digits, decimals) in which quotes are halved: quick, and wide where that is too narrow. Both fit Arrow's arithmetic.
_NARROW = Kind("numeric", precision=28, scale=12)
_WIDE = Kind("numeric", precision=70, scale=35)
_HALF = "0.5"


def derive(batch: RecordBatch, source: ColumnSource, kind: Kind, *, time_format: str | None, zone: str | None) -> Array:
    """One column of the dataset, of one step from its kind's type. Raises Misfit."""
    match source:
        case FromColumn(name):
            texts = batch.column(name)
        case FromConstant(text):
            texts = pa.repeat(pa.scalar(text, pa.string()), batch.num_rows)
        case FromTemplate(literals, columns):
            texts = _put_together(batch, literals, columns)
        case FromMid(bid, ask):
            return _mid(batch.column(bid), batch.column(ask))
        case _:
            assert_never(source)
    if kind.name in ("text", "json", "jsonb", "bytea"):
        return texts
    if pa.types.is_string(texts.type):
        texts = _empty_is_null(texts)
    if kind.name == "timestamptz":
        return to_instants(texts, time_format=time_format, zone=zone)
    return texts


def _put_together(batch: RecordBatch, literals: tuple[str, ...], columns: tuple[str, ...]) -> Array:
    parts: list[object] = []
    for literal, name in zip(literals, (*columns, None), strict=True):
        if literal:
            parts.append(pa.scalar(literal))
        if name is not None:
            column = batch.column(name)
            parts.append(column if pa.types.is_string(column.type) else column.cast(pa.string()))
    return pc.binary_join_element_wise(*parts, "", null_handling="emit_null")


def _empty_is_null(texts: Array) -> Array:
    """Some programs quote every field, those of nothing too: a number or a time of nothing is missing."""
    shortest = pc.min(pc.binary_length(texts)).as_py()
    return texts if shortest != 0 else pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _mid(bid: Array, ask: Array) -> Array:
    """(bid + ask) / 2, exact: half of a decimal is a decimal of one place more."""
    bid, ask = (_empty_is_null(side) if pa.types.is_string(side.type) else side for side in (bid, ask))
    try:
        summed = pc.add(fitted(bid, _NARROW)[0], fitted(ask, _NARROW)[0])
        half = pa.scalar(_HALF).cast(pa.decimal128(1, 1))
    except Misfit:
        summed = pc.add(fitted(bid, _WIDE)[0], fitted(ask, _WIDE)[0])
        half = pa.scalar(_HALF).cast(pa.decimal256(1, 1))
    return pc.multiply(summed, half)
