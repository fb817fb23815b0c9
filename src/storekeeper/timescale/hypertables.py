"""The engine for TimescaleDB 2.14+, Community edition: hypertables, the columnstore, continuous aggregates.

What changed, and what is gone, is known as on plain PostgreSQL: by our triggers, in storekeeper.invalidations and
storekeeper.watermarks, not by the server's own log, which knows neither single buckets nor what retention took. So a
refresh is told its windows, and nothing is left to the server's background jobs.

Chunks are made in the ranges of `catalog/ranges.py`, calendar ones too. Rows that come where none was made get one by
the server, of its own grid: fixed lengths counted from 1970, a calendar length as that many days. Chunks never overlap,
so whatever reads ranges goes by those that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from storekeeper.catalog import Hypertable, Range, Rollup
from storekeeper.catalog.ranges import merged, range_of
from storekeeper.clock import as_utc
from storekeeper.timescale.adjusting import (
    Adjustment,
    Definition,
    Policy,
    adjustments,
    alterations,
    columnstore_of,
    interval_of,
    interval_sql,
    on_record,
    set_columnstore,
    wants_capture,
    wants_columnstore,
)
from storekeeper.timescale.capture import capture_hypertable, lock_series
from storekeeper.timescale.chunks import Chunk, Statistics
from storekeeper.timescale.continuous import select_continuous
from storekeeper.timescale.hypertable_state import (
    CHUNKS,
    DEFINITION,
    POLICIES,
    STATE,
    STATISTICS,
    chunk_of,
    policies_of,
    select_held,
    state_of,
    statistics_of,
)
from storekeeper.timescale.levels import Level, level_of
from storekeeper.timescale.quoting import create_index, create_table, instant, listed, literal, qualified, quoted
from storekeeper.timescale.rollups import gone_before
from storekeeper.timescale.spellings import NEWEST, Spelling, Version, spelling
from storekeeper.timescale.statement import Inspection, Statement
from storekeeper.timescale.verifying import verification

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: Whether somebody's row came below its watermark is the triggers' to say; here what lies below is never touched.
_NOTED = """
SELECT change.id FROM storekeeper.invalidations AS change
WHERE change.dataset = :source AND change.lower < :upper AND change.upper > :lower"""

#: Takes the notes that were seen before the refresh began; what of them reaches beyond the window stays noted. And what
#: was made has changed, for whatever is made of it.
_SETTLE = """
WITH taken AS (
    DELETE FROM storekeeper.invalidations WHERE dataset = :source AND id = ANY(:noted) RETURNING lower, upper
)
INSERT INTO storekeeper.invalidations (dataset, lower, upper)
SELECT :source, lower, CAST(:lower AS timestamptz) FROM taken WHERE lower < :lower
UNION ALL
SELECT :source, CAST(:upper AS timestamptz), upper FROM taken WHERE upper > :upper"""

_CHANGED = """
UNION ALL
SELECT dataset, CAST(:made_lower AS timestamptz), CAST(:made_upper AS timestamptz)
FROM storekeeper.watermarks WHERE dataset = :rollup AND rolled_up"""

_HELD = "SELECT format('%I.%I', held.schema_name, held.table_name)::regclass"

#: Who reads by a snapshot of before looks, once rows were taken into a columnstore, there alone, and does not see them
#: there. So readers are waited for; not in the queue for the lock, in which those who come later would wait too.
_WHEN_NOBODY_READS = """
DO $alone$ BEGIN
    FOR attempt IN 1..400 LOOP
        BEGIN
            LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.025);
        END;
    END LOOP;
    RAISE lock_not_available USING MESSAGE = 'somebody reads it all the time';
END $alone$"""

_PENDING = """
SELECT change.lower, change.upper FROM storekeeper.invalidations AS change WHERE change.dataset = :dataset"""


@dataclass(frozen=True)
class HypertablesEngine:
    """By the words of a version of TimescaleDB; its functions lie in `schema`."""

    version: Version = NEWEST
    schema: str = "public"
    name: Literal["hypertables"] = "hypertables"
    columnstore: bool = True
    detaches: bool = False
    refreshes_alone: bool = True
    note: str = ""

    @property
    def label(self) -> str:
        return f"TimescaleDB {'.'.join(map(str, self.version))}"

    @property
    def copies_late(self) -> bool:
        return self.words.copies_late

    @property
    def words(self) -> Spelling:
        return spelling(self.version)

    def create_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        level = Level(hypertable, 0)
        indexes = sorted(level.table.indexes, key=lambda index: str(index.name))
        table = qualified(level.schema, level.table_name)
        dimension = f"{self._extension}.by_range({literal(level.time)}, {interval_sql(interval_of(level.chunk))})"
        columnstore = [set_columnstore(table, columnstore_of(hypertable), self.words)]
        return [
            Statement(create_table(level.table)),
            *(Statement(create_index(index)) for index in indexes),
            Statement(
                f"SELECT {self._extension}.create_hypertable({literal(table)}::regclass, {dimension}, "
                "create_default_indexes => false)"
            ),
            *(columnstore if wants_columnstore(hypertable) else []),
            _known(level, hypertable.late_rows),
            *(capture_hypertable(level, self.words) if wants_capture(level) else []),
        ]

    def drop_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        level = Level(hypertable, 0)
        return [Statement(f"DROP TABLE {qualified(level.schema, level.table_name)}"), *_forgotten(level)]

    def alter_hypertable(self, before: Hypertable, after: Hypertable) -> list[Statement]:
        return [*alterations(before, after, self.words, self._extension), *on_record(before, after)]

    def create_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]:
        level = level_of(hypertable, rollup)
        source, view = literal(level.source.name), qualified(level.schema, level.table_name)
        held = select_held(level.source)
        (index,) = level.table.indexes
        columns = ", ".join([*map(quoted, level.buckets.by), "bucket DESC"])
        interval = interval_sql(interval_of(level.chunk))
        return [
            # a writer in flight does not note its rows yet, and they would not be seen here either; its table comes
            # first, as with every writer
            *([] if level.source.depth else [_lock_table(level.source)]),
            lock_series(level.source.name),
            Statement(self.continuous(level)),
            # a continuous aggregate takes no unique index: its rows are the groups of one, and so there is one of each
            Statement(f"CREATE INDEX {quoted(str(index.name))} ON {view} ({columns})"),
            *(self._read_in_order(level) if level.buckets.by else ()),
            Statement(f"SELECT {self._extension}.set_chunk_time_interval({literal(view)}::regclass, {interval})"),
            _known(level, "refuse"),
            Statement(f"UPDATE storekeeper.watermarks SET rolled_up = true WHERE dataset = {source}"),
            Statement(
                "INSERT INTO storekeeper.invalidations (dataset, lower, upper)\n"
                f"SELECT {source}, min(chunk.range_start), max(chunk.range_end)\n"
                f"FROM ({held}) AS held JOIN timescaledb_information.chunks AS chunk\n"
                "    ON chunk.hypertable_schema = held.schema_name AND chunk.hypertable_name = held.table_name\n"
                "HAVING min(chunk.range_start) IS NOT NULL"
            ),
        ]

    def _read_in_order(self, level: Level) -> list[Statement]:
        """Bars are read in order of time and key: an index of both, in the place of the server's own, of the bucket
        alone."""
        view = qualified(level.schema, level.table_name)
        held = f"(SELECT format('%I.%I', schema_name, table_name)::regclass FROM ({select_held(level)}) AS held)"
        return [
            Statement(
                f"CREATE INDEX {quoted(f'{level.table_name}_in_order')} ON {view} "
                f"({listed(('bucket', *level.buckets.by))})"
            ),
            Statement(
                "DO $$ DECLARE own regclass; BEGIN\n"
                "FOR own IN SELECT indexrelid FROM pg_index\n"
                f"    WHERE indrelid = {held} AND indnatts = 1 AND NOT indisunique\n"
                "LOOP EXECUTE 'DROP INDEX ' || own; END LOOP; END $$"
            ),
        ]

    def continuous(self, level: Level) -> str:
        """The statement that makes a rollup, empty. It is never mixed with rows that it has not been told of."""
        options = ["timescaledb.continuous", "timescaledb.materialized_only = true"]
        options.append("timescaledb.create_group_indexes = false")
        return (
            f"CREATE MATERIALIZED VIEW {qualified(level.schema, level.table_name)} WITH ({', '.join(options)}) AS\n"
            f"{select_continuous(level, self._extension)}\nWITH NO DATA"
        )

    def drop_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]:
        level = level_of(hypertable, rollup)
        source = literal(level.source.name)
        return [
            Statement(f"DROP VIEW IF EXISTS {qualified(level.schema, level.view_name)}"),
            Statement(f"DROP MATERIALIZED VIEW {qualified(level.schema, level.table_name)}"),
            *_forgotten(level),
            Statement(f"UPDATE storekeeper.watermarks SET rolled_up = false WHERE dataset = {source}"),
            Statement(f"DELETE FROM storekeeper.invalidations WHERE dataset = {source}"),
        ]

    def chunks(self, level: Level) -> Inspection[list[Chunk]]:
        return Inspection(
            Statement(self._of_version(CHUNKS), _names(level)), lambda rows: [chunk_of(level, row) for row in rows]
        )

    def leftovers(self, level: Level) -> Inspection[list[Chunk]]:
        return Inspection(Statement("SELECT 1 WHERE false"), lambda rows: [])

    def statistics(self, level: Level) -> Inspection[Statistics]:
        return Inspection(Statement(self._of_version(STATISTICS), _names(level)), statistics_of)

    def make_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        made = (
            f"_timescaledb_functions.create_chunk(({_HELD} FROM ({select_held(level)}) AS held), "
            f"jsonb_build_object({literal(level.time)}, "
            f"jsonb_build_array({_microseconds(piece.lower)}, {_microseconds(piece.upper)})))"
            for piece in ranges
        )
        if self.words.makes_again:
            return [Statement(f"SELECT {chunk}") for chunk in made]
        # of one that was dropped the server says there that it is not found
        return [
            Statement(f"DO $$ BEGIN PERFORM {chunk}; EXCEPTION WHEN undefined_object THEN NULL; END $$")
            for chunk in made
        ]

    def ask_for_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        # others the server makes for the rows as they come, in its own grid; so it does where nobody watches the rows
        bounds = "CAST(:lower AS timestamptz), CAST(:upper AS timestamptz)"
        call = f"SELECT storekeeper.make_hypertable_chunk(:dataset, {bounds})"
        return [
            Statement(call, {"dataset": level.name, "lower": piece.lower, "upper": piece.upper})
            for piece in ranges
            if wants_capture(level) and range_of(piece.lower, level.chunk) == piece
        ]

    def pending(self, level: Level) -> Inspection[list[Range]]:
        return Inspection(
            Statement(_PENDING, {"dataset": level.name}),
            lambda rows: list(merged(Range(as_utc(lower), as_utc(upper)) for lower, upper in rows)),
        )

    def noted(self, level: Level, window: Range) -> Inspection[list[int]]:
        bounds = {"source": level.source.name, "lower": window.lower, "upper": window.upper}
        return Inspection(Statement(_NOTED, bounds), lambda rows: [row[0] for row in rows])

    def refresh(self, level: Level, window: Range) -> list[Statement]:
        view = literal(qualified(level.schema, level.table_name))
        return [
            Statement(
                f"CALL {self._extension}.refresh_continuous_aggregate({view}::regclass, "
                f"TIMESTAMPTZ {instant(window.lower)}, TIMESTAMPTZ {instant(window.upper)}{self.words.refresh})",
                autocommit=True,
            )
        ]

    def settle(self, level: Level, window: Range, noted: Sequence[int], made: Range | None) -> list[Statement]:
        bounds = {"source": level.source.name, "noted": list(noted), "lower": window.lower, "upper": window.upper}
        if made is None:
            return [Statement(_SETTLE, bounds)]
        of_made = {"rollup": level.name, "made_lower": made.lower, "made_upper": made.upper}
        return [Statement(_SETTLE + _CHANGED, {**bounds, **of_made})]

    def verify(self, level: Level, window: Range) -> Inspection[int]:
        return verification(level, window, lambda one, where: select_continuous(one, self._extension, where))

    def compress(self, level: Level, chunk: Chunk) -> list[Statement]:
        table = qualified(chunk.schema or level.schema, chunk.name)
        return [
            Statement(self.words.compress.format(schema=self._extension, chunk=literal(table))),
            Statement(_WHEN_NOBODY_READS.format(table=table)),
        ]

    def recompress(self, level: Level, chunk: Chunk) -> list[Statement]:
        return self.compress(level, chunk)

    def detach(self, level: Level, chunk: Chunk) -> list[Statement]:
        return []

    def drop(self, level: Level, chunk: Chunk) -> list[Statement]:
        table = literal(qualified(level.schema, level.table_name))
        return [
            Statement(
                f"SELECT {self._extension}.drop_chunks({table}::regclass, "
                f"older_than => TIMESTAMPTZ {instant(chunk.range.upper)}, "
                f"newer_than => TIMESTAMPTZ {instant(chunk.range.lower)})"
            )
        ]

    def finish_detaching(self, level: Level) -> Inspection[list[Statement]]:
        return Inspection(Statement("SELECT 1 WHERE false"), lambda rows: [])

    def adjustments(self, level: Level) -> Inspection[tuple[Adjustment, ...]]:
        table = qualified(level.schema, level.table_name)
        return Inspection(
            Statement(STATE.format(settings=self.words.settings), _names(level)),
            lambda rows: adjustments(level, state_of(rows), table, self.words, self._extension),
        )

    def policies(self, level: Level) -> Inspection[list[Policy]]:
        table = literal(qualified(level.schema, level.table_name))
        return Inspection(
            Statement(POLICIES, _names(level)), lambda rows: policies_of(rows, table, self.words, self._extension)
        )

    def definition(self, level: Level) -> Definition:
        wanted = f"CREATE TEMPORARY VIEW storekeeper_wanted AS\n{select_continuous(level, self._extension)}"
        differs = Inspection(
            Statement(DEFINITION, _names(level)), lambda rows: rows[0][0] if rows else "is no continuous aggregate"
        )
        return Definition((Statement(wanted),), differs)

    def _of_version(self, template: str) -> str:
        return template.format(known=self.words.known_chunk, packed=self.words.packed_in)

    @property
    def _extension(self) -> str:
        return quoted(self.schema)


def _known(level: Level, late_rows: str) -> Statement:
    return Statement(
        "INSERT INTO storekeeper.watermarks (dataset, late_rows, chunk, dropped_before)\n"
        f"VALUES ({literal(level.name)}, {literal(late_rows)}, {literal(level.chunk.sql)}, {gone_before(level)})"
    )


def _forgotten(level: Level) -> list[Statement]:
    tables = ("invalidations", "watermarks")
    return [Statement(f"DELETE FROM storekeeper.{table} WHERE dataset = {literal(level.name)}") for table in tables]


def _lock_table(level: Level) -> Statement:
    return Statement(f"LOCK TABLE ONLY {qualified(level.schema, level.table_name)} IN SHARE ROW EXCLUSIVE MODE")


def _names(level: Level) -> dict[str, object]:
    return {"schema": level.schema, "table": level.table_name}


def _microseconds(moment: datetime) -> int:
    """As the server counts them for chunks: from 1970."""
    return (moment - _EPOCH) // _MICROSECOND
