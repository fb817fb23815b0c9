"""What an as-of join reads: a range of a series by key, and the newest row of each key before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from storekeeper.span import Span
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import Condition, listed_keys, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.statement import Statement


def select_range(
    level: Level,
    columns: Sequence[sa.Column[object]],
    wanted: Condition,
    start: datetime | None,
    end: datetime | None,
    *,
    exact: bool,
) -> Statement:
    """Rows of these keys within [start, end), in order of time and then of the natural key."""
    condition = wanted & since(level.time, start, end, "time")
    return Statement(
        f"SELECT {_selected(columns, exact=exact)}\nFROM {qualified(level.schema, level.read_name)} AS source\n"
        f"WHERE {condition.sql}\nORDER BY {listed(_order(level), 'source.')}",
        condition.parameters,
    )


def select_newest_before(
    level: Level,
    columns: Sequence[sa.Column[object]],
    by: Sequence[str],
    keys: Sequence[object],
    moment: datetime,
    tolerance: Span | None,
    *,
    exact: bool,
) -> Statement:
    """The newest row of each of these keys before a moment, by index and from the newest chunk backward; with a
    tolerance, none that is older than that."""
    wanted = listed_keys(level.table, by, keys, operation="as of", target=level.name)
    within = since(level.time, tolerance.before_or_first(moment) if tolerance is not None else None, moment, "time")
    same = " AND ".join(f"line.{quoted(name)} = wanted.{quoted(name)}" for name in by)
    order = ", ".join(f"line.{quoted(name)} DESC" for name in _order(level))
    return Statement(
        f"SELECT {_selected(columns, exact=exact)}\nFROM ({wanted.sql}) AS wanted\n"
        f"CROSS JOIN LATERAL (SELECT * FROM {qualified(level.schema, level.read_name)} AS line"
        f" WHERE {same} AND {within.sql} ORDER BY {order} LIMIT 1) AS source",
        {**wanted.parameters, **within.parameters},
    )


def _order(level: Level) -> tuple[str, ...]:
    return (level.time, *(name for name in level.natural_key if name != level.time))


def _selected(columns: Sequence[sa.Column[object]], *, exact: bool) -> str:
    return ", ".join(f"{as_read(f'source.{quoted(c.name)}', c.type, exact=exact)} AS {quoted(c.name)}" for c in columns)
