"""The SELECT that makes a rollup, from rows or from the finer rollup, and the buckets it goes by."""

from __future__ import annotations

import sqlalchemy as sa

from storekeeper.catalog import Aggregate, Measure
from storekeeper.span import ORIGIN, Span
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import instant, listed, literal, qualified, quoted


def bucket_of(every: Span, time: str) -> str:
    """The first instant of the bucket that holds the expression `time`; as Span.floor, in any session's time zone."""
    if not every.calendar:
        return f"date_bin(INTERVAL '{every.sql}', {time}, TIMESTAMPTZ {instant(ORIGIN)})"
    local = f"{time} AT TIME ZONE 'UTC'"
    month = f"date_trunc('month', {local})"
    if every.months > 1:
        count = f"(EXTRACT(YEAR FROM {local})::int * 12 + EXTRACT(MONTH FROM {local})::int - {2000 * 12 + 1})"
        # the remainder of a negative number is negative
        month += f" - make_interval(months => (({count} % {every.months}) + {every.months}) % {every.months})"
    return f"({month}) AT TIME ZONE 'UTC'"


def gone_before(level: Level) -> str:
    """The watermark of a level that is made now: from it on, nothing is gone of what its buckets are made of. NULL
    where nothing is gone at all, and for the rows."""
    if not level.depth:
        return "NULL"
    every = level.buckets.every
    before = bucket_of(every, "(source.dropped_before - INTERVAL '1 microsecond')")
    # a month is as long as it is in UTC, whatever zone the session has
    first = f"({before} AT TIME ZONE 'UTC' + INTERVAL '{every.sql}') AT TIME ZONE 'UTC'"
    dataset = literal(level.source.name)
    return f"(SELECT {first} FROM storekeeper.watermarks AS source WHERE source.dataset = {dataset})"


def aggregate(measure: Measure, time: str, ties: tuple[str, ...], source: sa.Table) -> str:
    """A measure as SQL over the columns of `source`.

    First and last go by `time`; rows of one time by `ties` (the rest of the natural key), and where there is no natural
    key by the value itself: the first is then the least, the last the greatest of the rows that tie. A sum over
    floating point is made of decimals, so that it does not depend on the order of rows.
    """
    columns = [quoted(name) for name in measure.columns]
    exact = [
        f"{quoted(name)}::numeric" if isinstance(source.columns[name].type, sa.Float) else quoted(name)
        for name in measure.columns
    ]
    match measure.aggregate:
        case Aggregate.FIRST | Aggregate.LAST:
            direction = " DESC" if measure.aggregate is Aggregate.LAST else ""
            order = ", ".join(f"{term}{direction}" for term in (time, *(map(quoted, ties) if ties else columns)))
            return f"(array_agg({columns[0]} ORDER BY {order}))[1]"
        case Aggregate.MIN:
            return f"min({columns[0]})"
        case Aggregate.MAX:
            return f"max({columns[0]})"
        case Aggregate.SUM:
            return f"sum({exact[0]})::numeric"
        case Aggregate.SUM_PRODUCT:
            return f"sum({exact[0]}::numeric * {exact[1]}::numeric)"
        case Aggregate.COUNT:
            return "count(*)"


def select_buckets(
    every: Span | str, by: tuple[str, ...], measures: tuple[tuple[str, Measure], ...], source: Level, where: str
) -> str:
    """Buckets of `every` and keys, made of the rows of `source` where `where` holds (an expression over its columns).
    Instead of a span, an expression for the first instant of a row's bucket.

    Measures come with the names of their columns. A count of rows stays a BIGINT when counts are summed up.
    """
    time = quoted(source.time)
    ties = tuple(name for name in source.natural_key if name not in (*by, source.time))
    columns = [
        f"{_counted(measure, source, aggregate(measure, time, ties, source.table))} AS {quoted(name)}"
        for name, measure in measures
    ]
    keys = [quoted(name) for name in by]
    bucket = every if isinstance(every, str) else bucket_of(every, time)
    return (
        f"SELECT {', '.join([f'{bucket} AS bucket', *keys, *columns])}\n"
        f"FROM {qualified(source.schema, source.table_name)}\nWHERE {where}\n"
        f"GROUP BY {', '.join(['1', *keys])}"
    )


def select_rollup(level: Level, where: str) -> str:
    """The rows of a rollup, made of the level below where `where` holds (an expression over its columns)."""
    names = [measure.name for measure in level.buckets.measures]
    measures = tuple(zip(names, level.measures, strict=True))
    return select_buckets(level.buckets.every, level.buckets.by, measures, level.source, where)


def _counted(measure: Measure, source: Level, expression: str) -> str:
    summed = measure.aggregate is Aggregate.SUM and source.counts(measure.columns[0])
    return f"{expression}::bigint" if summed else expression


def select_stored(level: Level, where: str) -> str:
    """The rows of a rollup as they are kept, columns in the order of `select_rollup`."""
    return f"SELECT {listed(level.buckets.columns)}\nFROM {qualified(level.schema, level.table_name)}\nWHERE {where}"
