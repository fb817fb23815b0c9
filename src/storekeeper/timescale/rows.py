"""Reading rows as they are: a range of time, and the newest of each key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.errors import ColumnError, InputError
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import among, listed_keys, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.statement import Statement


def read_columns(level: Level, names: Sequence[str] | None) -> tuple[sa.Column[object], ...]:
    """The columns to read, all where None. Raises ColumnError."""
    known = level.table.columns
    for name in names or ():
        if name not in known:
            hint = f"it has {', '.join(known.keys())}"
            raise ColumnError(f"there is no column {name!r}", operation="read", target=level.name, hint=hint)
    return tuple(known[name] for name in (names if names is not None else known.keys()))


def select_rows(
    level: Level,
    columns: Sequence[sa.Column[object]],
    *,
    start: datetime | None,
    end: datetime | None,
    where: Mapping[str, Sequence[object]] | None,
    limit: int | None,
    exact: bool,
    newest_first: bool = False,
) -> Statement:
    """Rows of [start, end), in order of time and then of the natural key, or in the opposite order."""
    condition = among(level.table, where or {}, operation="read", target=level.name)
    condition &= since(level.time, start, end, "time")
    rest = [name for name in level.natural_key if name != level.time]
    order = ", ".join(f"source.{quoted(name)}{' DESC' if newest_first else ''}" for name in (level.time, *rest))
    sql = (
        f"SELECT {_selected(columns, exact=exact)}\nFROM {qualified(level.schema, level.read_name)} AS source\n"
        f"WHERE {condition.sql}\nORDER BY {order}"
    )
    parameters = dict(condition.parameters)
    if limit is not None:
        sql += "\nLIMIT :row_limit"
        parameters["row_limit"] = limit
    return Statement(sql, parameters)


def key_of(hypertable: Hypertable) -> tuple[str, ...]:
    """What tells the lines of a series apart: its natural key without the time, else what it is segmented by."""
    return tuple(name for name in hypertable.natural_key if name != hypertable.time) or hypertable.segment_by


def select_latest(hypertable: Hypertable, keys: Sequence[object] | None, *, exact: bool) -> Statement:
    """The newest row of each key, in order of the keys: by index and from the newest chunk backward where keys are
    given, else by a look at every row."""
    level, by = Level(hypertable, 0), key_of(hypertable)
    if not by:
        raise InputError("has neither a natural key nor a segment", operation="read latest", target=hypertable.name)
    columns = tuple(hypertable.table.columns)
    selected = _selected(columns, exact=exact)
    parent, time = qualified(level.schema, level.table_name), quoted(level.time)
    if keys is None:
        return Statement(
            f"SELECT DISTINCT ON ({listed(by, 'source.')}) {selected}\nFROM {parent} AS source\n"
            f"ORDER BY {listed(by, 'source.')}, source.{time} DESC"
        )
    wanted = listed_keys(hypertable.table, by, keys, operation="read latest", target=hypertable.name)
    return Statement(
        f"SELECT {selected}\nFROM ({wanted.sql}) AS wanted\n"
        f"CROSS JOIN LATERAL (SELECT * FROM {parent} AS line WHERE "
        + " AND ".join(f"line.{quoted(name)} = wanted.{quoted(name)}" for name in by)
        + f" ORDER BY line.{time} DESC LIMIT 1) AS source\nORDER BY {listed(by, 'source.')}",
        wanted.parameters,
    )


def _selected(columns: Sequence[sa.Column[object]], *, exact: bool) -> str:
    return ", ".join(f"{as_read(f'source.{quoted(c.name)}', c.type, exact=exact)} AS {quoted(c.name)}" for c in columns)
