"""The SELECT of a continuous aggregate: the same buckets, columns, types and values as a rollup that is a table."""

from __future__ import annotations

from storekeeper.catalog import Aggregate, Measure
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import column_type, qualified, quoted
from storekeeper.timescale.rollups import aggregate


def select_continuous(level: Level, schema: str, where: str = "") -> str:
    """What makes a rollup of the level below it, by the functions of the extension in `schema`; of all its rows, or
    where a condition holds.

    Its time_bucket counts fixed lengths from a Monday in 2000 and months from that year's January, in UTC, as
    Span.floor does.
    """
    source = level.source
    time = quoted(source.time)
    names = [measure.name for measure in level.buckets.measures]
    columns = [
        f"{_value(level, measure, schema)} AS {quoted(name)}"
        for name, measure in zip(names, level.measures, strict=True)
    ]
    keys = [quoted(name) for name in level.buckets.by]
    bucket = f"{schema}.time_bucket(INTERVAL '{level.buckets.every.sql}', {time}) AS bucket"
    condition = f"WHERE {where}\n" if where else ""
    return (
        f"SELECT {', '.join([bucket, *keys, *columns])}\n"
        f"FROM {qualified(source.schema, source.table_name)}\n"
        f"{condition}"
        f"GROUP BY {', '.join(['1', *keys])}"
    )


def _value(level: Level, measure: Measure, schema: str) -> str:
    """The measure in its declared type; a sum's is the server's own, which has no bound."""
    source = level.source
    ties = tuple(name for name in source.natural_key if name not in (*level.buckets.by, source.time))
    ordered = measure.aggregate in (Aggregate.FIRST, Aggregate.LAST)
    if ordered and source.natural_key and not ties:
        # one row a key and time: nothing ties, and the server need sort nothing
        expression = f"{schema}.{measure.aggregate}({quoted(measure.columns[0])}, {quoted(source.time)})"
    else:
        expression = aggregate(measure, quoted(source.time), ties, source.table)
    if measure.aggregate is Aggregate.SUM and source.counts(measure.columns[0]):
        return f"{expression}::bigint"
    if measure.aggregate in (Aggregate.SUM, Aggregate.SUM_PRODUCT, Aggregate.COUNT):
        return expression
    return f"{expression}::{column_type(level.table.columns[measure.name].type)}"
