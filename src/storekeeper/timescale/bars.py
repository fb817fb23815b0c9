"""Bars: the SELECT that makes buckets of any length out of the best level, and of rows where that level is behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storekeeper.catalog import Aggregate
from storekeeper.timescale.conditions import keyed, negated, since, within_any
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.rollups import aggregate, select_buckets
from storekeeper.timescale.routing import Route
from storekeeper.timescale.shapes import AVERAGE_SCALE, Shape, selected_columns
from storekeeper.timescale.statement import Statement


def select_bars(route: Route, keys: Sequence[object] | None, *, exact: bool) -> Statement:
    """Bars of the whole buckets in the route's warm window, in order of time and key; columns as `selected_columns`
    says, NUMERIC not cast. With `exact`, averages are rounded.

    Where the level is a rollup, its buckets that are behind are made of rows instead, those from the rows' watermark
    on; below that the rollup is all there is.
    """
    level, rows, shape = route.level, route.rows, route.shape
    named = tuple((measure.name, measure) for measure in shape.measures)
    wanted = keyed(rows.table, shape.by, keys, operation="read bars", target=level.hypertable.name)
    window, floor = route.warm, route.floor
    bounds = since(rows.time, max(window.lower, floor) if floor else window.lower, window.upper, "row")
    if not level.depth:
        where = wanted & bounds
        bucket, of_bucket = route.calendar.expression(quoted(rows.time), window)
        inner = select_buckets(bucket, shape.by, named, rows, where.sql)
        return Statement(_projected(route, inner, exact=exact), {**where.parameters, **of_bucket})
    behind = route.behind
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
    # within the window each bucket is whole ones of the rollup: one, where they are of the same length
    if route.calendar.every != level.buckets.every or not (route.calendar.plain or route.calendar.within_days):
        bucket, of_bucket = route.calendar.expression("bucket", window)
        inner = _regrouped(level, shape, inner, bucket)
        parameters |= of_bucket
    return Statement(_projected(route, inner, exact=exact), parameters)


def _regrouped(level: Level, shape: Shape, inner: str, bucket: str) -> str:
    """Longer buckets out of finer ones."""
    columns = []
    for measure in shape.measures:
        expression = aggregate(measure.over_rollup(), "bucket", (), level.table)
        kind = "::bigint" if measure.aggregate is Aggregate.COUNT else ""
        columns.append(f"{expression}{kind} AS {quoted(measure.name)}")
    keys = [quoted(name) for name in shape.by]
    selected = ", ".join([f"{bucket} AS bucket", *keys, *columns])
    return f"SELECT {selected}\nFROM ({inner}) AS finer\nGROUP BY {', '.join(['1', *keys])}"


def _projected(route: Route, inner: str, *, exact: bool) -> str:
    columns, shape = [], route.shape
    for column in selected_columns(route.level.hypertable, shape, exact=exact):
        expression = quoted(column.name)
        if exact and column.name == "vwap" and shape.average is not None:
            product, volume = shape.average
            expression = f"round({quoted(product.name)} / nullif({quoted(volume.name)}, 0), {AVERAGE_SCALE})"
        # NUMERIC as it is: the server takes longer to make floats of it than whoever reads
        columns.append(f"{as_read(expression, column.kind, exact=True)} AS {quoted(column.name)}")
    order = ", ".join(map(quoted, ("bucket", *shape.by)))
    return f"SELECT {', '.join(columns)}\nFROM ({inner}) AS bars\nORDER BY {order}"


def as_read(expression: str, kind: sa.types.TypeEngine[Any], *, exact: bool) -> str:
    """How a column is selected: NUMERIC as float64, or as it is where it must be exact."""
    if isinstance(kind, sa.Numeric):
        return expression if exact else f"({expression})::float8"
    return expression if isinstance(kind, _AS_IS) else f"({expression})::text"


#: What has a type of its own in Arrow; the rest (UUID, JSON, arrays) is read as text.
_AS_IS = (sa.Integer, sa.Float, sa.Boolean, sa.DateTime, sa.Date, sa.String)
