"""The last value that each key had before a range of bars, looked up by index and within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from storekeeper.catalog import Aggregate, Range
from storekeeper.span import Span
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import Condition, listed_keys, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import column_type, listed, qualified, quoted
from storekeeper.timescale.routing import Route
from storekeeper.timescale.shapes import BarColumn
from storekeeper.timescale.statement import Statement

#: Whether there was a row at all.
FOUND = BarColumn("storekeeper_found", sa.Boolean())
#: When that row was, and which of two of one time counts: the store's.
_AT: Final = "storekeeper_at"
_RANK: Final = "storekeeper_rank"
_TICK: Final = timedelta(microseconds=1)


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


def archived_before(route: Route, look_back: Span, complete_from: datetime | None) -> Range | None:
    """Of the time that is looked back over, what the store has dropped and the archive has; None where that is nothing.
    The archive holds all rows from `complete_from` on (None: ever)."""
    if route.floor is None:
        return None
    lower = _earliest(route, look_back)
    lower = lower if complete_from is None else max(lower, complete_from)
    upper = min(route.floor, route.window.lower)
    return Range(lower, upper) if lower < upper else None


def of_archive(route: Route) -> tuple[str, ...]:
    """The columns of a row of the archive that are looked at."""
    names = [measure.columns[0] for measure in route.shape.measures if measure.aggregate is Aggregate.LAST]
    return tuple(dict.fromkeys([*names, *route.shape.by, route.rows.time]))


def select_before(
    route: Route,
    keys: Sequence[object],
    look_back: Span,
    *,
    exact: bool,
    held: Range | None = None,
    archived: Mapping[str, Sequence[object]] | None = None,
) -> Statement:
    """These keys, each once, in the order that bars have them, with what `carried` names as of the newest row before
    the route's window and no more than `look_back` or a bar before it, and whether there is one.

    One look-up by index a key, from the newest chunk backward. Where rows of that time are gone: of `archived`, which
    are the newest rows of the archive within `held`, values by column (`of_archive`); before that, or where nothing is
    held, in the finest rollup.
    """
    rows, lower, floor = route.rows, route.window.lower, route.floor
    earliest = _earliest(route, look_back)
    wanted, names = _wanted(route, keys), carried(route)
    last = {m.name: m.columns[0] for m in route.shape.measures if m.columns}
    parameters: dict[str, object] = {**wanted.parameters}

    def newest(level: Level, columns: Sequence[str], start: datetime, end: datetime, prefix: str, rank: int) -> str:
        within = since(level.time, start, end, prefix)
        parameters.update(within.parameters)
        ties = [name for name in level.natural_key if name not in (*route.shape.by, level.time)]
        order = ", ".join(f"{quoted(name)} DESC" for name in (level.time, *ties))
        same = "".join(f"line.{quoted(name)} = wanted.{quoted(name)} AND " for name in route.shape.by)
        values = "".join(f", {quoted(column)} AS {quoted(c.name)}" for column, c in zip(columns, names, strict=True))
        source = qualified(level.schema, level.read_name)
        return (
            f"(SELECT {quoted(level.time)} AS {_AT}, {rank} AS {_RANK}{values} FROM {source} AS line"
            f" WHERE {same}{within.sql} ORDER BY {order} LIMIT 1)"
        )

    kept = max(earliest, floor) if floor is not None else earliest
    if held is not None:  # rows that came late to what is archived
        kept = held.lower
    found = []
    if kept < lower:
        found.append(newest(rows, [last[c.name] for c in names], kept, lower, "before", 2))
    rollup, rolled = _finest(route), min(floor, lower) if floor is not None else earliest
    if held is not None and rollup is not None:  # a bucket that has rows of after that is not asked
        rolled = rollup.buckets.every.before_or_first(held.lower) + _TICK
    if earliest < rolled and rollup is not None:
        found.append(newest(rollup, [c.name for c in names], earliest, rolled, "rolled", 0))
    if archived is not None and archived[rows.time]:
        arrays, of_rows = _given(route, archived)
        parameters.update(arrays.parameters)
        same = " AND ".join(f"given.{quoted(name)} = wanted.{quoted(name)}" for name in route.shape.by) or "true"
        values = "".join(f", given.{quoted(last[c.name])} AS {quoted(c.name)}" for c in names)
        found.append(
            f"(SELECT given.{quoted(rows.time)} AS {_AT}, 1 AS {_RANK}{values}"
            f" FROM (SELECT {of_rows} FROM {arrays.sql}) AS given WHERE {same})"
        )
    selected = [
        *_keys(route, exact=exact),
        *(f"{as_read(f'before.{quoted(c.name)}', c.kind, exact=exact)} AS {quoted(c.name)}" for c in names),
        f"before.{_AT} IS NOT NULL AS {FOUND.name}",
    ]
    nothing = "".join(f", NULL AS {quoted(c.name)}" for c in names)
    source = "\nUNION ALL\n".join(found) or f"(SELECT NULL::timestamptz AS {_AT}, 0 AS {_RANK}{nothing} LIMIT 0)"
    return Statement(
        f"SELECT {', '.join(selected)}\n"
        f"FROM ({wanted.sql}) AS wanted\n"
        f"LEFT JOIN LATERAL (SELECT * FROM ({source}) AS each_source ORDER BY {_AT} DESC, {_RANK} DESC LIMIT 1)"
        f" AS before ON true"
        f"{_order(route)}",
        parameters,
    )


def _earliest(route: Route, look_back: Span) -> datetime:
    lower = route.window.lower
    return min(look_back.before_or_first(lower), route.calendar.every.before_or_first(lower))


def _given(route: Route, rows: Mapping[str, Sequence[object]]) -> tuple[Condition, str]:
    """Rows as a table of texts, and what is selected of them to have their types."""
    columns = route.rows.table.columns
    places = {name: f"given{place}" for place, name in enumerate(rows)}
    arrays = ", ".join(f"CAST(:{place} AS text[])" for place in places.values())
    texts = {places[name]: [None if value is None else str(value) for value in values] for name, values in rows.items()}
    selected = ", ".join(f"CAST({quoted(n)} AS {column_type(columns[n].type)}) AS {quoted(n)}" for n in rows)
    return Condition(f"unnest({arrays}) AS texts ({listed(list(rows))})", texts), selected


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
