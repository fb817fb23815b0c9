"""Bars: the SELECT that makes buckets of any length out of the best level, and of rows where that level is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storekeeper.catalog import Aggregate, Hypertable, Measure, Range
from storekeeper.errors import InputError
from storekeeper.span import Span, days
from storekeeper.timescale.conditions import keyed, negated, since, within_any
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.rollups import aggregate, bucket_of, select_buckets
from storekeeper.timescale.statement import Statement

#: Decimals of an exact average price.
AVERAGE_SCALE = 12


@dataclass(frozen=True)
class Shape:
    """What bars of a series are: their keys, and measures over its rows."""

    by: tuple[str, ...]
    measures: tuple[Measure, ...]

    @property
    def average(self) -> tuple[Measure, Measure] | None:
        """A sum of products and the sum of its second factor: their quotient is the volume-weighted average price."""
        sums = {measure.columns[0]: measure for measure in self.measures if measure.aggregate is Aggregate.SUM}
        for measure in self.measures:
            if measure.aggregate is Aggregate.SUM_PRODUCT and measure.columns[1] in sums:
                return measure, sums[measure.columns[1]]
        return None


def shape_of(hypertable: Hypertable) -> Shape:
    """Keys and measures of a series' bars: those of its rollups, or candles of candles. Raises InputError."""
    if hypertable.rollups:
        return Shape(hypertable.rollups[0].by, hypertable.rollups[0].measures)
    columns = set(hypertable.columns)
    if not {"open", "high", "low", "close"} <= columns:
        raise InputError(
            "has no rollups, and no columns open, high, low, close",
            operation="read bars",
            target=hypertable.name,
            hint="declare a rollup of it, or read its raw rows",
        )
    by = tuple(name for name in hypertable.natural_key if name != hypertable.time) or hypertable.segment_by
    measures = (
        Measure("open", Aggregate.FIRST, ("open",)),
        Measure("high", Aggregate.MAX, ("high",)),
        Measure("low", Aggregate.MIN, ("low",)),
        Measure("close", Aggregate.LAST, ("close",)),
        *((Measure("volume", Aggregate.SUM, ("volume",)),) if "volume" in columns else ()),
        Measure("count", Aggregate.COUNT),
    )
    return Shape(by, measures)


def level_for(hypertable: Hypertable, every: Span) -> Level:
    """The level that answers bars of `every`: the coarsest rollup whose buckets fill them; else the rows.

    The coarsest is the shortest to read and kept the longest, and what it does not hold yet comes from the rows.
    """
    shape = shape_of(hypertable)
    fitting = [
        level
        for level in levels(hypertable)[1:]
        if fills(level.buckets.every, every)
        and level.buckets.by == shape.by
        and set(level.buckets.measures) == set(shape.measures)
    ]
    return fitting[-1] if fitting else Level(hypertable, 0)


def fills(finer: Span, every: Span) -> bool:
    """Whether buckets of `every` consist of whole buckets of `finer`: both are counted from the same origin."""
    if every.calendar:
        # a month begins at midnight, of whatever weekday
        return every.months % finer.months == 0 if finer.calendar else not days(1).duration % finer.duration
    return not finer.calendar and not every.duration % finer.duration


def select_bars(
    level: Level,
    every: Span,
    window: Range,
    stale: Sequence[Range],
    floor: datetime | None,
    keys: Sequence[object] | None,
    *,
    exact: bool,
) -> Statement:
    """Bars of the whole buckets in `window`, in order of time and key; columns as `bar_columns` says.

    Where the level is a rollup, its buckets within `stale` (whole ones of its own) are made of rows instead, those from
    `floor` on, the watermark of the rows; below that the rollup is all there is.
    """
    rows = Level(level.hypertable, 0)
    shape = shape_of(level.hypertable)
    named = tuple((measure.name, measure) for measure in shape.measures)
    wanted = keyed(rows.table, shape.by, keys, operation="read bars", target=level.hypertable.name)
    bounds = since(rows.time, max(window.lower, floor) if floor else window.lower, window.upper, "row")
    if not level.depth:
        where = wanted & bounds
        inner, parameters = select_buckets(every, shape.by, named, rows, where.sql), dict(where.parameters)
        return Statement(_projected(level, shape, inner, exact=exact), parameters)
    behind = [piece for piece in stale if piece.overlaps(window) and (floor is None or piece.upper > floor)]
    if floor is not None:
        behind = [Range(max(piece.lower, floor), piece.upper) for piece in behind]
    held = wanted & since("bucket", window.lower, window.upper, "held") & negated(within_any("bucket", behind, "held"))
    inner = (
        f"SELECT {listed(('bucket', *shape.by, *(name for name, _ in named)))} "
        f"FROM {qualified(level.schema, level.read_name)} WHERE {held.sql}"
    )
    parameters = dict(held.parameters)
    if behind:
        fresh = wanted & bounds & within_any(rows.time, behind, "row")
        inner += f"\nUNION ALL\n{select_buckets(level.buckets.every, shape.by, named, rows, fresh.sql)}"
        parameters |= fresh.parameters
    if every != level.buckets.every:
        inner = _regrouped(level, shape, inner, every)
    return Statement(_projected(level, shape, inner, exact=exact), parameters)


def _regrouped(level: Level, shape: Shape, inner: str, every: Span) -> str:
    """Buckets of `every` out of finer ones."""
    columns = []
    for measure in shape.measures:
        expression = aggregate(measure.over_rollup(), "bucket", (), level.table)
        kind = "::bigint" if measure.aggregate is Aggregate.COUNT else ""
        columns.append(f"{expression}{kind} AS {quoted(measure.name)}")
    keys = [quoted(name) for name in shape.by]
    selected = ", ".join([f"{bucket_of(every, 'bucket')} AS bucket", *keys, *columns])
    return f"SELECT {selected}\nFROM ({inner}) AS finer\nGROUP BY {', '.join(['1', *keys])}"


@dataclass(frozen=True)
class BarColumn:
    """One column of the answer, and its type before anything is made a float of it."""

    name: str
    kind: sa.types.TypeEngine[Any]


def bar_columns(hypertable: Hypertable) -> tuple[BarColumn, ...]:
    """The columns of bars and their exact types: bucket, keys, measures. The sum of products shows as `vwap`, its
    quotient by the volume; the average price, rounded to 12 decimals."""
    rows, shape = hypertable.table, shape_of(hypertable)
    columns = [BarColumn("bucket", sa.DateTime(timezone=True))]
    columns += [BarColumn(name, rows.columns[name].type) for name in shape.by]
    for measure in shape.measures:
        if shape.average is not None and measure is shape.average[0]:
            columns.append(BarColumn("vwap", sa.Numeric(38, AVERAGE_SCALE)))
        else:
            columns.append(BarColumn(measure.name, _exact_type(rows, measure)))
    return tuple(columns)


def _exact_type(rows: sa.Table, measure: Measure) -> sa.types.TypeEngine[Any]:
    """A sum has the scale of what it sums; its digits before the point have no bound but Arrow's."""
    if measure.aggregate is Aggregate.COUNT:
        return sa.BigInteger()
    kind = rows.columns[measure.columns[0]].type
    if measure.aggregate is Aggregate.SUM:
        if isinstance(kind, sa.Integer):
            return sa.Numeric(38, 0)
        scale = kind.scale if isinstance(kind, sa.Numeric) else None
        return sa.Numeric() if scale is None else sa.Numeric(38, scale)
    if measure.aggregate is Aggregate.SUM_PRODUCT:
        return sa.Numeric()
    return kind


def _projected(level: Level, shape: Shape, inner: str, *, exact: bool) -> str:
    columns = []
    for column in bar_columns(level.hypertable):
        expression = quoted(column.name)
        if column.name == "vwap" and shape.average is not None:
            product, volume = shape.average
            quotient = f"{quoted(product.name)} / nullif({quoted(volume.name)}, 0)"
            expression = f"round({quotient}, {AVERAGE_SCALE})" if exact else quotient
        columns.append(f"{as_read(expression, column.kind, exact=exact)} AS {quoted(column.name)}")
    order = ", ".join(map(quoted, ("bucket", *shape.by)))
    return f"SELECT {', '.join(columns)}\nFROM ({inner}) AS bars\nORDER BY {order}"


def as_read(expression: str, kind: sa.types.TypeEngine[Any], *, exact: bool) -> str:
    """How a column is selected: NUMERIC as float64, or as it is where it must be exact."""
    if isinstance(kind, sa.Numeric):
        return expression if exact else f"({expression})::float8"
    return expression if isinstance(kind, _AS_IS) else f"({expression})::text"


#: What has a type of its own in Arrow; the rest (UUID, JSON, arrays) is read as text.
_AS_IS = (sa.Integer, sa.Float, sa.Boolean, sa.DateTime, sa.Date, sa.String)
