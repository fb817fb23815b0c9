"""Reading rows as they are: a range of time, and the newest of each key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.errors import ColumnError, InputError
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import Condition, among, listed_keys, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import instant, listed, qualified, quoted
from storekeeper.timescale.statement import Statement

#: The greatest BIGINT.
_MOST: Final = 2**63 - 1


def read_columns(level: Level, names: Sequence[str] | None) -> tuple[sa.Column[object], ...]:
    """The columns to read, all where None. Raises ColumnError, also for one that is named twice."""
    known = level.table.columns
    if names is not None and not len(names):
        raise ColumnError("no column was asked for", operation="read", target=level.name)
    for name in names or ():
        if name not in known.keys():  # noqa: SIM118  # the columns themselves are also known by their numbers
            hint = f"it has {', '.join(known.keys())}"
            raise ColumnError(f"there is no column {name!r}", operation="read", target=level.name, hint=hint)
    if twice := sorted({name for name in names or () if list(names or ()).count(name) > 1}):
        raise ColumnError(f"asked for twice: {', '.join(twice)}", operation="read", target=level.name)
    return tuple(known[name] for name in (names if names is not None else known.keys()))


def check_count(count: object, what: str, least: int, *, target: str) -> None:
    """Raises InputError where this is no whole number, or too small a one, or one that the server cannot count to."""
    if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= _MOST:
        raise InputError(f"{what}={count!r} is no count from {least} on", operation="read", target=target)


def select_rows(
    level: Level,
    columns: Sequence[sa.Column[object]],
    *,
    start: datetime | None,
    end: datetime | None,
    where: Mapping[str, Sequence[object]] | None,
    limit: int | None,
    newest_first: bool = False,
) -> Statement:
    """Rows of [start, end), in order of time and then of the natural key, or in the opposite order.

    NUMERIC is selected as it is.
    """
    condition = among(level.table, where or {}, operation="read", target=level.name)
    condition &= since(level.time, start, end, "time")
    rest = [name for name in level.natural_key if name != level.time]
    order = ", ".join(f"source.{quoted(name)}{' DESC' if newest_first else ''}" for name in (level.time, *rest))
    sql = (
        f"SELECT {_selected(columns)}\nFROM {qualified(level.schema, level.read_name)} AS source\n"
        f"WHERE {condition.sql}\nORDER BY {order}"
    )
    parameters = dict(condition.parameters)
    if limit is not None:
        sql += "\nLIMIT :row_limit"
        parameters["row_limit"] = limit
    return Statement(sql, parameters)


def share_range(level: Level, start: datetime | None, end: datetime | None) -> str:
    """Locks the chunks of [start, end) against whoever takes them away or into the columnstore, and reads nothing.

    A COPY takes its snapshot before it waits for the lock of a chunk: what was taken into the columnstore while it
    waited it looks for there alone, where its snapshot does not show it.
    """
    bounds = [
        f"{quoted(level.time)} {sign} TIMESTAMPTZ {instant(moment)}"
        for sign, moment in ((">=", start), ("<", end))
        if moment
    ]
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    return f"SELECT FROM {qualified(level.schema, level.read_name)}{where} LIMIT 0"


def key_of(hypertable: Hypertable) -> tuple[str, ...]:
    """What tells the lines of a series apart: its natural key without the time, else what it is segmented by."""
    return tuple(name for name in hypertable.natural_key if name != hypertable.time) or hypertable.segment_by


def select_latest(
    hypertable: Hypertable, keys: Sequence[object] | None, *, earliest: datetime | None = None
) -> Statement:
    """The newest row of each key, in order of the keys; NUMERIC as it is.

    By index, from the newest chunk backward: of the keys given; else of those that the index holds, each found from the
    one before it. Without such an index, or where a key may be NULL, by a look at every row. Of keys
    that are given, no rows before `earliest`: chunks that hold only such are not even planned for.
    """
    level, by = Level(hypertable, 0), key_of(hypertable)
    if not by:
        raise InputError("has neither a natural key nor a segment", operation="read latest", target=hypertable.name)
    selected = _selected(tuple(hypertable.table.columns))
    parent, time = qualified(level.schema, level.table_name), quoted(level.time)
    lately = since(level.time, earliest, None, "time")
    order = listed(by, "source.")
    if keys is None and not _indexed(hypertable, by):
        return Statement(
            f"SELECT DISTINCT ON ({listed(by, 'source.')}) {selected}\nFROM {parent} AS source\n"
            f"ORDER BY {listed(by, 'source.')}, source.{time} DESC"
        )
    if keys is None:
        wanted = Condition("SELECT * FROM every_key")
        first = f"SELECT {listed(by)} FROM {parent} ORDER BY {listed(by)} LIMIT 1"
        following = (
            f"SELECT {listed(by)} FROM {parent} AS line WHERE ({listed(by, 'line.')}) > ({listed(by, 'known.')})"
            f" ORDER BY {listed(by)} LIMIT 1"
        )
        before = (
            f"WITH RECURSIVE every_key AS (\n({first})\nUNION ALL\n"
            f"SELECT following.* FROM every_key AS known CROSS JOIN LATERAL ({following}) AS following)\n"
        )
    else:
        wanted = listed_keys(hypertable.table, by, keys, operation="read latest", target=hypertable.name)
        before = ""
        if not any(getattr(hypertable.table.columns[name].type, "collation", None) for name in by):
            # in order before they are looked up: neighbours in the index follow one another
            wanted, order = replace(wanted, sql=f"{wanted.sql} ORDER BY {listed(by)}"), listed(by, "wanted.")
    return Statement(
        f"{before}SELECT {selected}\nFROM ({wanted.sql}) AS wanted\n"
        f"CROSS JOIN LATERAL (SELECT * FROM {parent} AS line WHERE "
        + "".join(f"line.{quoted(name)} = wanted.{quoted(name)} AND " for name in by)
        + f"{lately.sql} ORDER BY line.{time} DESC LIMIT 1) AS source\nORDER BY {order}",
        {**wanted.parameters, **lately.parameters},
    )


def count_of_keys(statement: Statement) -> int:
    """How many keys a `select_latest` asks for, at most."""
    arrays = [values for name, values in statement.parameters.items() if isinstance(values, list)]
    return len(set(zip(*arrays, strict=True)))


def _indexed(hypertable: Hypertable, by: Sequence[str]) -> bool:
    """Whether an index of all rows begins with these columns, which are never NULL."""
    columns = hypertable.table.columns
    if any(columns[name].nullable for name in by):
        return False
    leading = [
        [part.name if isinstance(part, sa.Column) else None for part in index.expressions][: len(by)]
        for index in hypertable.table.indexes
        if index.dialect_options["postgresql"].get("where") is None
        and index.dialect_options["postgresql"].get("using") in (None, False, "btree")
    ]
    return list(by) in leading


def _selected(columns: Sequence[sa.Column[object]]) -> str:
    return ", ".join(f"{as_read(f'source.{quoted(c.name)}', c.type, exact=True)} AS {quoted(c.name)}" for c in columns)
