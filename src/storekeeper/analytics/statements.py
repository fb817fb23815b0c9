"""The SELECT for rows of a series, a rollup or a table: one range, comparisons, newest first or last. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storekeeper.analytics.comparisons import Comparison, sql_condition
from storekeeper.analytics.datasets import Relation, Series
from storekeeper.catalog import Aggregate, plain_type
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import Condition, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import qualified, quoted
from storekeeper.timescale.statement import Statement

#: Digits of a sum: what Arrow's smaller decimal holds.
_DIGITS = 38


@dataclass(frozen=True)
class Column:
    """A column of an answer and its type. Where `json` is set, its values are the texts of JSON documents."""

    name: str
    kind: sa.types.TypeEngine[Any]
    json: bool = False


def select(
    source: Series | Relation,
    names: Sequence[str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    where: Sequence[Comparison] = (),
    limit: int | None = None,
    newest_first: bool = False,
) -> tuple[Statement, tuple[Column, ...]]:
    """Rows of [start, end), in order of time and then of the key, or in the opposite order; by key where there is no
    time. Also the columns as they come."""
    table = table_of(source)
    columns = tuple(_column(source, name) for name in names)
    condition = condition_of(source, start, end, where)
    selected = ", ".join(f"{_read(table.columns[c.name], c)} AS {quoted(c.name)}" for c in columns)
    direction = " DESC" if newest_first else ""
    # the columns, not what is selected under their names
    order = ", ".join(f"source.{quoted(name)}{direction}" for name in order_of(source))
    sql = f"SELECT {selected}\nFROM {_from(source)}\nWHERE {condition.sql}"
    if order:
        sql += f"\nORDER BY {order}"
    parameters = dict(condition.parameters)
    if limit is not None:
        sql += "\nLIMIT :row_limit"
        parameters["row_limit"] = limit
    return Statement(sql, parameters), columns


def select_extent(
    source: Series | Relation, start: datetime | None, end: datetime | None, where: Sequence[Comparison]
) -> Statement:
    """The times of the first and of the last row within [start, end) where the comparisons hold: one row, NULL where
    there is none. The dataset has a time."""
    condition = condition_of(source, start, end, where)
    time = quoted(source.time or "")
    return Statement(
        f"SELECT min({time}), max({time}) FROM {_from(source)} WHERE {condition.sql}", dict(condition.parameters)
    )


def condition_of(
    source: Series | Relation, start: datetime | None, end: datetime | None, where: Sequence[Comparison]
) -> Condition:
    within = since(source.time, start, end, "time") if source.time else Condition()
    return within & sql_condition(table_of(source), where)


def table_of(source: Series | Relation) -> sa.Table:
    return source.level.table if isinstance(source, Series) else source.table


def order_of(source: Series | Relation) -> tuple[str, ...]:
    """The time, then what tells rows of one time apart."""
    if isinstance(source, Series):
        keys = source.level.natural_key
    else:
        keys = tuple(column.name for column in source.table.primary_key.columns)
    time = (source.time,) if source.time else ()
    return (*time, *(name for name in keys if name != source.time))


def _from(source: Series | Relation) -> str:
    table = table_of(source)
    return f"{qualified(table.schema or 'public', table.name)} AS source"


def _column(source: Series | Relation, name: str) -> Column:
    column = table_of(source).columns[name]
    if isinstance(plain_type(column.type), (sa.JSON, sa.ARRAY)):
        return Column(name, sa.Text(), json=True)
    return Column(name, _bounded(source.level, name) if isinstance(source, Series) else column.type)


def _read(column: sa.Column[Any], shown: Column) -> str:
    expression = f"source.{quoted(column.name)}"
    if isinstance(column.type, sa.ARRAY):
        return f"to_json({expression})::text"
    return as_read(expression, column.type, exact=True) if not shown.json else f"{expression}::text"


def _bounded(level: Level, name: str) -> sa.types.TypeEngine[Any]:
    """A sum has the scale of what it sums, of a product the scale of both: NUMERIC without bound needs the widest type
    of a file otherwise."""
    kind: sa.types.TypeEngine[Any] = level.table.columns[name].type
    measure = next((one for one in level.rollup.measures if one.name == name), None) if level.rollup else None
    if measure is None or measure.aggregate not in (Aggregate.SUM, Aggregate.SUM_PRODUCT):
        return kind
    scales = [_scale(level.hypertable.table.columns[column].type) for column in measure.columns]
    known = [scale for scale in scales if scale is not None]
    return sa.Numeric(_DIGITS, sum(known)) if len(known) == len(scales) and sum(known) <= _DIGITS else kind


def _scale(kind: sa.types.TypeEngine[Any]) -> int | None:
    if isinstance(kind, sa.Integer):
        return 0
    return kind.scale if isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float) else None
