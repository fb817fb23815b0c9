"""What bars of a series are: their keys and measures, and the types of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storekeeper.catalog import Aggregate, Hypertable, Measure
from storekeeper.errors import ColumnError, InputError

#: Decimals of an exact average price.
AVERAGE_SCALE = 12
#: How long PostgreSQL lets a name be, in bytes; it cuts longer ones.
_LONGEST = 63
#: Of these the server knows no least and no greatest.
_UNORDERED = (sa.Boolean, sa.JSON, sa.Uuid, sa.LargeBinary)


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

    def carried(self, measure: Measure) -> str:
        """The column of bars whose last value a bar without rows has for this one: the last of the same column of rows;
        of candles of candles, the last close; else its own."""
        last = {m.columns[0]: m.name for m in self.measures if m.aggregate is Aggregate.LAST}
        column = measure.columns[0]
        if column not in last and column in ("open", "high", "low"):
            return last.get("close", measure.name)
        return last.get(column, measure.name)


def shape_of(hypertable: Hypertable, measures: Sequence[Measure] | None = None) -> Shape:
    """Keys and measures of a series' bars: these, or those of its rollups, or candles of candles. Raises InputError,
    ColumnError."""
    if measures is not None:
        by = hypertable.rollups[0].by if hypertable.rollups else key_of(hypertable)
        return Shape(by, _checked(hypertable, by, tuple(measures)))
    if hypertable.rollups:
        return Shape(hypertable.rollups[0].by, hypertable.rollups[0].measures)
    columns = set(hypertable.columns)
    if not {"open", "high", "low", "close"} <= columns:
        raise InputError(
            "has no rollups, and no columns open, high, low, close",
            operation="read bars",
            target=hypertable.name,
            hint="declare a rollup of it, name the measures, or read its raw rows",
        )
    candles = (
        Measure("open", Aggregate.FIRST, ("open",)),
        Measure("high", Aggregate.MAX, ("high",)),
        Measure("low", Aggregate.MIN, ("low",)),
        Measure("close", Aggregate.LAST, ("close",)),
        *((Measure("volume", Aggregate.SUM, ("volume",)),) if "volume" in columns else ()),
        Measure("count", Aggregate.COUNT),
    )
    return Shape(key_of(hypertable), candles)


def key_of(hypertable: Hypertable) -> tuple[str, ...]:
    """What tells the lines of a series apart: its natural key without the time, else what it is segmented by."""
    return tuple(name for name in hypertable.natural_key if name != hypertable.time) or hypertable.segment_by


def _checked(hypertable: Hypertable, by: Sequence[str], measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """Raises ColumnError for a column that is not there, or that is no number or has no order where one is needed;
    InputError for what is no measure, a name that cannot be one or stands twice, or for no measure at all."""
    if not measures:
        raise InputError("no measure was asked for", operation="read bars", target=hypertable.name)
    for measure in measures:
        if not isinstance(measure, Measure):
            raise InputError(
                f"{measure!r} is no measure",
                operation="read bars",
                target=hypertable.name,
                hint='write Measure("high", Aggregate.MAX, ("price",))',
            )
        if not 0 < len(measure.name.encode()) <= _LONGEST or "\0" in measure.name:
            raise InputError(
                f"{measure.name!r} is no name of a column: 1 to {_LONGEST} bytes, none of them zero",
                operation="read bars",
                target=hypertable.name,
            )
    average = Shape(tuple(by), measures).average
    names = [*by, "bucket", *(measure.name for measure in measures)]
    if average is not None and average[0].name != "vwap":
        names.append("vwap")  # what it is shown as
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"two columns would be called {', '.join(twice)}", operation="read bars", target=hypertable.name
        )
    for measure in measures:
        for name in measure.columns:
            if name not in hypertable.table.columns:
                raise ColumnError(
                    f"there is no column {name!r}",
                    operation="read bars",
                    target=hypertable.name,
                    hint=f"it has {', '.join(hypertable.columns)}",
                )
            kind = hypertable.table.columns[name].type
            number = isinstance(kind, (sa.Numeric, sa.Float, sa.Integer))
            if measure.aggregate in (Aggregate.SUM, Aggregate.SUM_PRODUCT) and not number:
                raise ColumnError(f"{name} holds no numbers to sum up", operation="read bars", target=hypertable.name)
            if measure.aggregate in (Aggregate.MIN, Aggregate.MAX) and isinstance(kind, _UNORDERED):
                raise ColumnError(
                    f"{name} has no {measure.aggregate}: its values have no order",
                    operation="read bars",
                    target=hypertable.name,
                )
    return measures


@dataclass(frozen=True)
class BarColumn:
    """One column of the answer, and its type before anything is made a float of it."""

    name: str
    kind: sa.types.TypeEngine[Any]


def bar_columns(hypertable: Hypertable, shape: Shape | None = None) -> tuple[BarColumn, ...]:
    """The columns of bars and their exact types: bucket, keys, measures. The sum of products shows as `vwap`, its
    quotient by the volume; the average price, rounded to 12 decimals, or as a float the quotient of the two floats."""
    rows, shape = hypertable.table, shape or shape_of(hypertable)
    columns = [BarColumn("bucket", sa.DateTime(timezone=True))]
    columns += [BarColumn(name, rows.columns[name].type) for name in shape.by]
    for measure in shape.measures:
        if shape.average is not None and measure is shape.average[0]:
            columns.append(BarColumn("vwap", sa.Numeric(38, AVERAGE_SCALE)))
        else:
            columns.append(BarColumn(measure.name, _exact_type(rows, measure)))
    return tuple(columns)


def selected_columns(hypertable: Hypertable, shape: Shape, *, exact: bool) -> tuple[BarColumn, ...]:
    """What a statement selects for bars: those columns, `vwap` with `exact` only. For floats it is cheaper to divide
    them than to have the server divide decimals: the sum of products stands in its place, under its own name."""
    average, columns = shape.average, bar_columns(hypertable, shape)
    if exact or average is None:
        return columns
    product = BarColumn(average[0].name, sa.Numeric())
    return tuple(product if column.name == "vwap" else column for column in columns)


def _exact_type(rows: sa.Table, measure: Measure) -> sa.types.TypeEngine[Any]:
    """A sum has the scale of what it sums; its digits before the point have no bound but those of Arrow's decimal."""
    if measure.aggregate is Aggregate.COUNT:
        return sa.BigInteger()
    kind = rows.columns[measure.columns[0]].type
    if measure.aggregate is Aggregate.SUM:
        if isinstance(kind, sa.Integer):
            return sa.Numeric(38, 0)
        if not isinstance(kind, sa.Numeric) or kind.precision is None:
            return sa.Numeric()
        return sa.Numeric(38 if kind.precision <= 38 else 76, kind.scale or 0)
    if measure.aggregate is Aggregate.SUM_PRODUCT:
        return sa.Numeric()
    return kind
