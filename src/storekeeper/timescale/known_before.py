"""The last value that each key had before a range of bars, looked up by index and within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from storekeeper.catalog import Aggregate
from storekeeper.span import Span
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import Condition, listed_keys, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.routing import Route
from storekeeper.timescale.shapes import BarColumn
from storekeeper.timescale.statement import Statement

#: Whether there was a row at all.
FOUND = BarColumn("storekeeper_found", sa.Boolean())
#: When that row was.
_AT: Final = "storekeeper_at"


def carried(route: Route) -> tuple[BarColumn, ...]:
    """What is known of a key before a range: the columns of bars that are the last of a row's column."""
    columns = route.level.hypertable.table.columns
    return tuple(
        BarColumn(measure.name, columns[measure.columns[0]].type)
        for measure in route.shape.measures
        if measure.aggregate is Aggregate.LAST
    )


def select_keys(route: Route, keys: Sequence[object], *, exact: bool) -> Statement:
    """These keys, each once, in the order that bars have them. Of rows that have a key."""
    wanted = _wanted(route, keys)
    selected = ", ".join(_keys(route, exact=exact))
    return Statement(f"SELECT {selected}\nFROM ({wanted.sql}) AS wanted{_order(route)}", wanted.parameters)


def select_before(route: Route, keys: Sequence[object], look_back: Span, *, exact: bool) -> Statement:
    """These keys, each once, in the order that bars have them, with what `carried` names as of the newest row before
    the route's window and no more than `look_back` or a bar before it, and whether there is one.

    One look-up by index a key, from the newest chunk backward; where rows of that time are gone, in the finest rollup.
    """
    rows, lower, floor = route.rows, route.window.lower, route.floor
    earliest = min(look_back.before_or_first(lower), route.calendar.every.before_or_first(lower))
    wanted, names = _wanted(route, keys), carried(route)
    last = {m.name: m.columns[0] for m in route.shape.measures if m.columns}
    parameters: dict[str, object] = {**wanted.parameters}

    def newest(level: Level, columns: Sequence[str], start: datetime, end: datetime, prefix: str) -> str:
        within = since(level.time, start, end, prefix)
        parameters.update(within.parameters)
        ties = [name for name in level.natural_key if name not in (*route.shape.by, level.time)]
        order = ", ".join(f"{quoted(name)} DESC" for name in (level.time, *ties))
        same = "".join(f"line.{quoted(name)} = wanted.{quoted(name)} AND " for name in route.shape.by)
        values = "".join(f", {quoted(column)} AS {quoted(c.name)}" for column, c in zip(columns, names, strict=True))
        return (
            f"(SELECT {quoted(level.time)} AS {_AT}{values} FROM {qualified(level.schema, level.read_name)} AS line"
            f" WHERE {same}{within.sql} ORDER BY {order} LIMIT 1)"
        )

    kept = max(earliest, floor) if floor is not None else earliest
    found = []
    if kept < lower:
        found.append(newest(rows, [last[c.name] for c in names], kept, lower, "before"))
    rollup = _finest(route)
    if floor is not None and earliest < floor and rollup is not None:
        found.append(newest(rollup, [c.name for c in names], earliest, min(floor, lower), "rolled"))
    selected = [
        *_keys(route, exact=exact),
        *(f"{as_read(f'before.{quoted(c.name)}', c.kind, exact=exact)} AS {quoted(c.name)}" for c in names),
        f"before.{_AT} IS NOT NULL AS {FOUND.name}",
    ]
    nothing = "".join(f", NULL AS {quoted(c.name)}" for c in names)
    source = "\nUNION ALL\n".join(found) or f"(SELECT NULL::timestamptz AS {_AT}{nothing} LIMIT 0)"
    return Statement(
        f"SELECT {', '.join(selected)}\n"
        f"FROM ({wanted.sql}) AS wanted\n"
        f"LEFT JOIN LATERAL (SELECT * FROM ({source}) AS each_source ORDER BY {_AT} DESC LIMIT 1) AS before ON true"
        f"{_order(route)}",
        parameters,
    )


def _finest(route: Route) -> Level | None:
    """The finest rollup that holds what is carried; read as the route's own level is."""
    wanted = {m for m in route.shape.measures if m.aggregate is Aggregate.LAST}
    for level in route.rows.coarser:
        if level.buckets.by == route.shape.by and wanted <= set(level.buckets.measures):
            return Level(level.hypertable, level.depth, shown=route.level.shown)
    return None


def _wanted(route: Route, keys: Sequence[object]) -> Condition:
    return listed_keys(
        route.rows.table, route.shape.by, keys, operation="read bars", target=route.level.hypertable.name
    )


def _keys(route: Route, *, exact: bool) -> list[str]:
    columns = route.rows.table.columns
    return [
        f"{as_read(f'wanted.{quoted(name)}', columns[name].type, exact=exact)} AS {quoted(name)}"
        for name in route.shape.by
    ]


def _order(route: Route) -> str:
    return f"\nORDER BY {listed(route.shape.by, 'wanted.')}" if route.shape.by else ""
