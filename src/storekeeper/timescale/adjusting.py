"""What the server has set of a series against what is declared: length of chunks, columnstore, capture. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from storekeeper.catalog import Hypertable
from storekeeper.span import Span
from storekeeper.timescale.capture import capture_hypertable, capture_names
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import literal, qualified, quoted
from storekeeper.timescale.spellings import Spelling
from storekeeper.timescale.statement import Inspection, Statement

_DAYS_OF_A_MONTH: Final = 365.2425 / 12


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One thing that is set otherwise than declared, and what sets it; without statements it is but reported."""

    action: Literal["set chunk", "set columnstore", "set capture"]
    detail: str
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Columnstore:
    """What rows of a compressed chunk are kept together by, and in which order: names and terms, without quotes."""

    segment_by: tuple[str, ...]
    order_by: tuple[str, ...]

    def __str__(self) -> str:
        segments = f"by {', '.join(self.segment_by)}, " if self.segment_by else ""
        return f"{segments}in order of {', '.join(self.order_by)}"


@dataclass(frozen=True, slots=True)
class State:
    """What is set of a level: the length of the chunks that the server makes itself, the columnstore (None: off),
    whether any chunk is compressed, the names of the capture's triggers."""

    interval: timedelta
    columnstore: Columnstore | None
    compressed: bool
    triggers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A job of the server's that changes a series by itself, and the statement that removes it."""

    name: str
    job: int
    remove: str

    @property
    def told(self) -> str:
        """What people are told of it, after the name of the series."""
        return f"has {self.name} (job {self.job}), and the platform's own jobs do that: {self.remove}"


@dataclass(frozen=True, slots=True)
class Definition:
    """How a rollup is compared with its declaration: in a transaction that is rolled back, `before` is run, then asked
    why it `differs` (an empty text: it does not)."""

    before: tuple[Statement, ...]
    differs: Inspection[str]


def wants_columnstore(hypertable: Hypertable) -> bool:
    """Whether its chunks may be compressed: it says when, or how."""
    return bool(hypertable.compress_after or hypertable.segment_by or hypertable.order_by)


def wants_capture(level: Level) -> bool:
    """Whether changes of its rows are watched: something is made of them, or late ones are refused.

    Of rows that are only appended nobody needs to know, and without triggers the server can take them straight into
    its columnstore. A natural key forbids that anyway, and its corrections are as likely as a later rollup.
    """
    hypertable = level.hypertable
    refuses = hypertable.late_rows == "refuse" and hypertable.drop_after is not None
    return not level.depth and bool(hypertable.natural_key or hypertable.rollups or refuses)


def columnstore_of(hypertable: Hypertable) -> Columnstore:
    """As declared; in order of time, newest first, where nothing else is."""
    order = hypertable.order_by or (f"{hypertable.time} DESC",)
    return Columnstore(hypertable.segment_by, tuple(_term(term) for term in order))


def _term(term: str) -> str:
    """An ordering term as the server says it: without what goes without saying."""
    column, *words = term.split()
    said = " ".join(words).upper()
    descending = said.startswith("DESC")
    nulls_first = "NULLS FIRST" in said if "NULLS" in said else descending
    nulls = "" if nulls_first == descending else f" NULLS {'FIRST' if nulls_first else 'LAST'}"
    return f"{column}{' DESC' if descending else ''}{nulls}"


def set_columnstore(table: str, columnstore: Columnstore | None, words: Spelling) -> Statement:
    """Switches the columnstore of a table on, as described, or (None) off."""
    if columnstore is None:
        return Statement(f"ALTER TABLE {table} SET ({words.columnstore} = false)")
    order = [term.split(" ", 1) for term in columnstore.order_by]
    segments = literal(", ".join(map(quoted, columnstore.segment_by)))
    terms = literal(", ".join(" ".join([quoted(column), *rest]) for column, *rest in order))
    return Statement(
        f"ALTER TABLE {table} SET ({words.columnstore} = true, {words.segment_by} = {segments}, "
        f"{words.order_by} = {terms})"
    )


def adjustments(level: Level, state: State | None, table: str, words: Spelling, schema: str) -> tuple[Adjustment, ...]:
    """What differs, where the server has the level: `state` is what it has set, `table` what the rows are held in."""
    if state is None:
        return ()
    found = []
    if (wanted := interval_of(level.chunk)) != state.interval:
        detail = f"{Span(duration=state.interval)} → {Span(duration=wanted)}, of those that the server makes itself"
        call = f"SELECT {schema}.set_chunk_time_interval({literal(table)}::regclass, {interval_sql(wanted)})"
        found.append(Adjustment("set chunk", detail, (Statement(call),)))
    if not level.depth:
        found += _columnstore(level.hypertable, state, table, words)
        found += _capture(level, state, words)
    return tuple(found)


def _columnstore(hypertable: Hypertable, state: State, table: str, words: Spelling) -> list[Adjustment]:
    wanted = columnstore_of(hypertable) if wants_columnstore(hypertable) else None
    if wanted == state.columnstore:
        return []
    detail = f"{state.columnstore or 'off'} → {wanted or 'off'}"
    if wanted is None and state.compressed:
        return [Adjustment("set columnstore", f"{detail}: it has compressed chunks, which would have to be unpacked")]
    return [Adjustment("set columnstore", detail, (set_columnstore(table, wanted, words),))]


def _capture(level: Level, state: State, words: Spelling) -> list[Adjustment]:
    wanted = tuple(sorted(capture_names(words))) if wants_capture(level) else ()
    if wanted == state.triggers:
        return []
    table = qualified(level.schema, level.table_name)
    drop = [Statement(f"DROP TRIGGER {quoted(name)} ON {table}") for name in state.triggers]
    make = capture_hypertable(level, words) if wanted else []
    return [Adjustment("set capture", "on" if wanted else "off", (*drop, *make))]


def standing(before: Hypertable, after: Hypertable) -> int:
    """How many rollups of one are those of the other, from the finest on: what is made of another one is another."""
    count = 0
    for one, other in zip(before.rollups, after.rollups, strict=False):
        if (one.name, one.every, one.by, one.measures) != (other.name, other.every, other.by, other.measures):
            break
        count += 1
    return count


def on_record(before: Hypertable, after: Hypertable) -> list[Statement]:
    """Puts on record what has changed of a series and of the rollups that stand: length of chunks, late rows."""
    statements = []
    for depth in range(standing(before, after) + 1):
        was, level = Level(before, depth), Level(after, depth)
        values = [f"chunk = {literal(level.chunk.sql)}"] if was.chunk != level.chunk else []
        if not depth and before.late_rows != after.late_rows:
            values.append(f"late_rows = {literal(after.late_rows)}")
        if values:
            update = f"UPDATE storekeeper.watermarks SET {', '.join(values)} WHERE dataset = {literal(level.name)}"
            statements.append(Statement(update))
    return statements


def alterations(before: Hypertable, after: Hypertable, words: Spelling, schema: str) -> list[Statement]:
    """Sets a hypertable, and the continuous aggregates that stand, from one to the other. Run where it is so already,
    they change nothing."""
    statements = []
    for depth in range(standing(before, after) + 1):
        was, level = Level(before, depth), Level(after, depth)
        table, wanted = qualified(level.schema, level.table_name), interval_of(level.chunk)
        if interval_of(was.chunk) != wanted:
            call = f"SELECT {schema}.set_chunk_time_interval({literal(table)}::regclass, {interval_sql(wanted)})"
            statements.append(Statement(call))
    table = qualified(after.schema, after.table.name)
    had, wants = (columnstore_of(one) if wants_columnstore(one) else None for one in (before, after))
    if had != wants:
        statements.append(set_columnstore(table, wants, words))
    watched, watches = (wants_capture(Level(one, 0)) for one in (before, after))
    if watched != watches:
        names = capture_names(words)
        statements += [Statement(f"DROP TRIGGER IF EXISTS {quoted(name)} ON {table}") for name in names]
        statements += capture_hypertable(Level(after, 0), words) if watches else []
    return statements


def interval_of(span: Span) -> timedelta:
    """How long the chunks are that the server makes itself: of a calendar length, as many days as it has about."""
    return timedelta(days=round(span.months * _DAYS_OF_A_MONTH)) if span.calendar else span.duration


def interval_sql(length: timedelta) -> str:
    return f"INTERVAL '{length // timedelta(microseconds=1)} microseconds'"
