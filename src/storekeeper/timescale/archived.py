"""Rows on their way to the cold tier: what the server says of a chunk, its rows in the files' order, its lock. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from storekeeper.catalog import Range
from storekeeper.clock import as_utc
from storekeeper.span import ORIGIN
from storekeeper.timescale.bars import as_read
from storekeeper.timescale.conditions import listed_keys, since
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import listed, qualified, quoted
from storekeeper.timescale.statement import Inspection, Statement

_DAY: Final = timedelta(days=1)
#: A day is cut into so many files at most, and into as many as leave each about this many rows.
_SLICES: Final = (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 288, 1440)
ROWS_PER_FILE: Final = 1_000_000
#: PostgreSQL's numbers beyond Arrow's 128 bits, and those without bound, are kept as text.
WIDEST_DECIMAL: Final = 38


@dataclass(frozen=True, slots=True)
class Content:
    """What the server says of a chunk's rows. `digest` does not depend on their order; `sums` are checks a column."""

    rows: int
    digest: str
    earliest: datetime | None
    latest: datetime | None
    sums: Mapping[str, tuple[int, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColdFile:
    """A file of the cold tier. `path` is below the tier's place; `earliest` and `latest` are times of its rows. `part`
    names the chunk's archiving that it belongs to; the later of two parts has the newer rows."""

    path: str
    sha256: str
    rows: int
    bytes: int
    earliest: datetime
    latest: datetime
    part: str = ""
    bounds: Range | None = None


def source_of(level: Level, table: str | None) -> str:
    """Where a chunk's rows are read from: its table (of one that was detached), or the level's, by time."""
    return qualified(level.schema, table or level.table_name)


def select_content(level: Level, chunk: Range, table: str | None = None) -> Inspection[Content]:
    """Counts and sums over the rows of a chunk; of the detached `table` where one is named."""
    columns = level.table.columns
    condition = since(level.time, chunk.lower, chunk.upper, "chunk")
    time = quoted(level.time)
    row = ", ".join(as_read(quoted(column.name), column.type, exact=True) for column in columns)
    checks = [(column.name, _check(column)) for column in columns]
    selected = ", ".join(
        ["count(*)", f"coalesce(sum(hash_record_extended(ROW({row}), 0)), 0)::text", f"min({time})", f"max({time})"]
        + [f"count({quoted(name)}), ({check})::text" for name, check in checks]
    )

    def decode(rows: Sequence[Any]) -> Content:
        count, digest, earliest, latest, *found = rows[0]
        pairs = zip(found[::2], found[1::2], strict=True)
        sums = {name: (known, total) for (name, _), (known, total) in zip(checks, pairs, strict=True)}
        return Content(count, digest, _utc(earliest), _utc(latest), sums)

    sql = f"SELECT {selected}\nFROM {source_of(level, table)} AS source\nWHERE {condition.sql}"
    return Inspection(Statement(sql, condition.parameters), decode)


def select_unkeepable(level: Level, before: datetime) -> Inspection[tuple[str, ...]]:
    """The columns that hold, in rows older than that, what no decimal and no time of a file is: NaN, infinity."""
    tests = {
        column.name: f"{quoted(column.name)} = 'NaN'"
        if isinstance(column.type, sa.Numeric)
        else f"NOT isfinite({quoted(column.name)})"
        for column in level.table.columns
        if _may_be_none_of_its_kind(column.type)
    }
    condition = since(level.time, None, before, "row")
    found = ", ".join(f"coalesce(bool_or({test}), false)" for test in tests.values()) or "false"
    return Inspection(
        Statement(
            f"SELECT {found}\nFROM {source_of(level, None)} AS source WHERE {condition.sql}", condition.parameters
        ),
        lambda rows: tuple(name for name, held in zip(tests, rows[0], strict=False) if held),
    )


def _may_be_none_of_its_kind(kind: sa.types.TypeEngine[Any]) -> bool:
    if isinstance(kind, sa.Numeric):
        return not isinstance(kind, sa.Float) and not as_text(kind)
    return isinstance(kind, (sa.DateTime, sa.Date))


def _check(column: sa.Column[Any]) -> str:
    """A sum over a column that the files must yield too; NULL where only values are counted."""
    name = quoted(column.name)
    match column.type:
        case sa.Float():
            return "NULL"  # a sum of floats depends on its order
        case sa.Numeric() if not as_text(column.type):
            return f"sum({name})"
        case sa.Integer():
            return f"sum({name})"
        case sa.Boolean():
            return f"count(*) FILTER (WHERE {name})"
        case sa.DateTime(timezone=True):
            return f"sum(trunc(extract(epoch FROM {name}) * 1000000))"
        case sa.DateTime() | sa.Date():
            return "NULL"
        case _:
            return f"sum(octet_length({name}::text))"


def as_text(kind: sa.types.TypeEngine[Any]) -> bool:
    """Whether a NUMERIC has no bound that other readers of Parquet know, and is kept as text."""
    if not isinstance(kind, sa.Numeric) or isinstance(kind, sa.Float):
        return False
    return kind.precision is None or kind.precision > WIDEST_DECIMAL


def kept_columns(level: Level) -> tuple[sa.Column[Any], ...]:
    """The columns as they are read for the files: unbounded numbers as text."""
    return tuple(
        sa.Column(column.name, sa.Text if as_text(column.type) else column.type) for column in level.table.columns
    )


def select_kept(level: Level, window: Range, table: str | None = None) -> Statement:
    """The rows of a window in the order of the files: by key, then by time."""
    condition = since(level.time, window.lower, window.upper, "window")
    selected = ", ".join(
        f"{_kept(f'source.{quoted(column.name)}', column.type)} AS {quoted(column.name)}"
        for column in level.table.columns
    )
    order = ", ".join(f"source.{quoted(name)}" for name in (*line_of(level), level.time))
    return Statement(
        f"SELECT {selected}\nFROM {source_of(level, table)} AS source\nWHERE {condition.sql}\nORDER BY {order}",
        condition.parameters,
    )


def _kept(expression: str, kind: sa.types.TypeEngine[Any]) -> str:
    return f"({expression})::text" if as_text(kind) else as_read(expression, kind, exact=True)


def line_of(level: Level) -> tuple[str, ...]:
    """What the rows of a file are sorted by before their time."""
    key = tuple(name for name in level.natural_key if name != level.time)
    return key or level.hypertable.segment_by


def slices(chunk: Range, content: Content, most: int = ROWS_PER_FILE) -> tuple[tuple[Range, ...], ...]:
    """Windows of one file each, grouped so that a group is read at once: about `most` rows a group, whole days where
    days are small, parts of a day where they are not. Counted by the average: rows that come in bursts make
    larger ones."""
    if content.earliest is None or content.latest is None:
        return ()
    first, last = _floor(content.earliest, _DAY), content.latest
    days = (last - first) // _DAY + 1
    a_day = max(1, content.rows // days)
    pieces = next((count for count in _SLICES if a_day <= count * most), _SLICES[-1])
    width = _DAY / pieces
    windows: list[Range] = []
    start = first
    while start <= last:
        if start + width > content.earliest:
            windows.append(Range(max(start, chunk.lower), min(start + width, chunk.upper)))
        start += width
    together = max(1, most // max(1, a_day)) if pieces == 1 else 1
    return tuple(tuple(windows[at : at + together]) for at in range(0, len(windows), together))


def _floor(moment: datetime, width: timedelta) -> datetime:
    return ORIGIN + (moment - ORIGIN) // width * width


#: The temporary table by which rows from files are lent to the server: schema and name.
LENT: Final = ("pg_temp", "storekeeper_lent")


def lend(level: Level, columns: Sequence[str]) -> list[Statement]:
    """Makes the temporary table, with these columns; it goes with the transaction."""
    return [
        Statement(
            f"CREATE TEMPORARY TABLE {quoted(LENT[1])} ON COMMIT DROP AS\n"
            f"SELECT {listed(columns)} FROM {qualified(level.schema, level.table_name)} WITH NO DATA"
        )
    ]


def lend_rows(level: Level, columns: Sequence[str], window: Range) -> list[Statement]:
    """Puts rows of the store beside those from files."""
    condition = since(level.time, window.lower, window.upper, "window")
    return [
        Statement(
            f"INSERT INTO {qualified(*LENT)} ({listed(columns)})\n"
            f"SELECT {listed(columns)} FROM {qualified(level.schema, level.table_name)} WHERE {condition.sql}",
            condition.parameters,
        )
    ]


def empty_lent() -> list[Statement]:
    return [Statement(f"TRUNCATE {qualified(*LENT)}")]


def copy_lent(columns: Sequence[str], form: Literal["binary", "csv"] = "binary") -> str:
    return f"COPY {qualified(*LENT)} ({listed(columns)}) FROM STDIN WITH (FORMAT {form})"


#: Of an answer `with_archive`: until when rows are archived, NULL where none is.
UNTIL: Final = sa.Column("storekeeper_until", sa.DateTime(timezone=True))


def with_archive(newest: Statement, level: Level, by: Sequence[str]) -> Statement:
    """The rows of a statement, which selects all columns, in order of `by`, each with the time until which the level's
    rows are archived; where it has none, one row of nulls with that time. One statement, so of one snapshot."""
    columns = level.table.columns.keys()
    archived = "SELECT max(upper) AS until FROM storekeeper.archived_parts WHERE dataset = :archived AND state = 'kept'"
    order = f"\nORDER BY {listed(by, 'source.')}" if by else ""
    return Statement(
        f"SELECT {listed(columns, 'source.')}, archived.until AS {quoted(UNTIL.name)}\n"
        f"FROM ({archived}) AS archived\nLEFT JOIN (\n{newest.sql}\n) AS source ON true{order}",
        {**newest.parameters, "archived": level.name},
    )


def select_ordered(level: Level, by: Sequence[str], keys: Sequence[object]) -> Statement:
    """These keys, each once, in the order that the server has them; NUMERIC as it is."""
    wanted = listed_keys(level.table, by, keys, operation="read", target=level.name)
    selected = ", ".join(
        f"{as_read(f'wanted.{quoted(name)}', level.table.columns[name].type, exact=True)} AS {quoted(name)}"
        for name in by
    )
    order = f" ORDER BY {listed(by, 'wanted.')}" if by else ""
    return Statement(f"SELECT {selected} FROM ({wanted.sql}) AS wanted{order}", wanted.parameters)


def lock_chunk(schema: str, table: str) -> Statement:
    """Waits until nobody writes into a chunk that is about to go, and lets nobody begin; readers go on."""
    return Statement(f"LOCK TABLE {qualified(schema, table)} IN EXCLUSIVE MODE")


def share_rows(level: Level, table: str | None = None) -> Statement:
    """Before a snapshot is taken: no chunk that it sees is taken away while this transaction runs."""
    return Statement(f"LOCK TABLE {source_of(level, table)} IN ACCESS SHARE MODE")


def select_readers(level: Level) -> Inspection[bool]:
    """Whether another transaction reads rows, by `share_rows`: it may have a snapshot of before."""
    return Inspection(
        Statement(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND mode = 'AccessShareLock'\n"
            "    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())\n"
            "    AND relation = to_regclass(:table) AND pid <> pg_backend_pid())",
            {"table": source_of(level, None)},
        ),
        lambda rows: bool(rows[0][0]),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else as_utc(moment)


def day_of(moment: datetime) -> str:
    """2024-01-05, of UTC."""
    return moment.astimezone(UTC).date().isoformat()
