"""Quality rules as vectors: how many of the rows that come in each of them marks."""

from __future__ import annotations

from typing import assert_never

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.catalog.quality import Column, Constant, Operation, Term
from storekeeper.errors import InputError
from storekeeper.stores.sql.arrow import Array, Table, pa, pc
from storekeeper.stores.sql.intake import kind_of


def flag_counts(table: Table, hypertable: Hypertable) -> dict[str, int]:
    """The rows that each flag of the hypertable marks; flags that mark none are left out. A column that is not given
    is NULL. Raises InputError where a value is too large to be computed with."""
    counts: dict[str, int] = {}
    for flag in hypertable.flags if table.num_rows else ():
        try:
            marked = pc.sum(_value(flag.term, table, hypertable.table)).as_py() or 0
        except pa.ArrowInvalid as error:
            raise InputError(
                f"flag {flag.name} cannot be computed: {error}", operation="append", target=hypertable.name
            ) from error
        if marked:
            counts[flag.name] = int(marked)
    return counts


def _value(term: Term, table: Table, target: sa.Table) -> Array:
    match term:
        case Column():
            if term.name not in table.column_names:
                return pa.nulls(table.num_rows, kind_of(target.columns[term.name].type).arrow or pa.decimal128(1, 0))
            return table.column(term.name)
        case Constant():
            return pa.scalar(term.value)
        case Operation():
            parts = [_value(part, table, target) for part in term.terms]
        case _:
            assert_never(term)
    match term.operator:
        case "AND" | "OR":
            combine = pc.and_kleene if term.operator == "AND" else pc.or_kleene
            first, *others = parts
            for other in others:
                first = combine(first, other)
            return first
        case "NOT":
            return pc.invert(parts[0])
        case "IS NULL":
            return pc.is_null(parts[0])
        case "IS NOT NULL":
            return pc.is_valid(parts[0])
        case "/":
            left, right = (pc.cast(part, pa.float64()) for part in parts)
            zero = pc.equal(right, 0.0)
            return pc.divide(left, pc.if_else(zero, pa.scalar(None, pa.float64()), right))
        case "+" | "-" | "*":
            left, right = _alike(*(_roomy(part) for part in parts))
            return _ARITHMETIC[term.operator](left, right)
        case _:
            return _compared(term.operator, *_alike(*parts))


_ARITHMETIC = {"+": pc.add_checked, "-": pc.subtract_checked, "*": pc.multiply_checked}
_COMPARISONS = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def _alike(left: Array, right: Array) -> tuple[Array, Array]:
    """A float and another number as the server takes them together: as doubles, the nearest ones."""
    if left.type == right.type or not (pa.types.is_floating(left.type) or pa.types.is_floating(right.type)):
        return left, right
    return pc.cast(left, pa.float64(), safe=False), pc.cast(right, pa.float64(), safe=False)


def _compared(operator: str, left: Array, right: Array) -> Array:
    """NaN is to the server equal to itself, and greater than every other number."""
    found = _COMPARISONS[operator](left, right)
    if not pa.types.is_floating(left.type):
        return found
    one, other = pc.is_nan(left), pc.is_nan(right)
    match operator:
        case "=":
            return pc.or_(found, pc.and_(one, other))
        case "<>":
            return pc.and_not(found, pc.and_(one, other))
        case "<":
            return pc.or_(found, pc.and_not(other, one))
        case "<=":
            return pc.or_(found, other)
        case ">":
            return pc.or_(found, pc.and_not(one, other))
        case _:
            return pc.or_(found, one)


def _roomy(value: Array) -> Array:
    """Decimals with room for what is computed of them: no more digits than there are, in the widest type."""
    if not pa.types.is_decimal(value.type):
        return value
    scale = value.type.scale
    most = value.as_py() if isinstance(value, pa.Scalar) else pc.max(pc.abs(value)).as_py()
    whole = max(most.adjusted() + 1, 0) if most else 0
    return pc.cast(value, pa.decimal256(max(whole + scale, 1), scale))
