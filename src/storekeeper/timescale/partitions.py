"""The engine for plain PostgreSQL 15+: range partitions as chunks, tables as rollups. There is no default partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from storekeeper.catalog import Hypertable, Range, Rollup
from storekeeper.catalog.ranges import chunk_name, merged
from storekeeper.clock import as_utc
from storekeeper.errors import NotSupportedError
from storekeeper.timescale.adjusting import Adjustment, Definition, Policy, on_record
from storekeeper.timescale.capture import capture, lock_series
from storekeeper.timescale.chunks import Chunk, Statistics
from storekeeper.timescale.levels import Level, level_of
from storekeeper.timescale.quoting import create_index, create_table, instant, listed, literal, qualified, quoted
from storekeeper.timescale.rollups import gone_before, select_rollup
from storekeeper.timescale.statement import Inspection, Statement
from storekeeper.timescale.verifying import verification, within

#: The bounds of a chunk as the server prints them, in the session's own zone and style: read back by the same session.
_BOUND = r"regexp_match(pg_get_expr(part.relpartbound, part.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)')"

#: Counted as rows come and go, and forgotten by a crash; then the last ANALYZE knows.
_ROWS = "coalesce(nullif(pg_stat_get_live_tuples(part.oid), 0), greatest(part.reltuples, 0)::bigint)"

_CHUNKS = f"""
SELECT part.relname, (bound.pair)[1]::timestamptz AS lower, (bound.pair)[2]::timestamptz AS upper,
       {_ROWS}, pg_total_relation_size(part.oid)
FROM pg_catalog.pg_inherits AS link
JOIN pg_catalog.pg_class AS part ON part.oid = link.inhrelid
CROSS JOIN LATERAL (SELECT {_BOUND} AS pair) AS bound
WHERE link.inhparent = to_regclass(:table) AND NOT link.inhdetachpending AND bound.pair IS NOT NULL
ORDER BY 2"""

#: A detached chunk keeps its triggers, and their arguments say whose it was and what it held.
_LEFTOVERS = f"""
SELECT part.relname, (argument.list)[4]::timestamptz, (argument.list)[5]::timestamptz,
       {_ROWS}, pg_total_relation_size(part.oid)
FROM pg_catalog.pg_trigger AS capture
JOIN pg_catalog.pg_class AS part ON part.oid = capture.tgrelid
JOIN pg_catalog.pg_namespace AS space ON space.oid = part.relnamespace
CROSS JOIN LATERAL (SELECT string_to_array(encode(capture.tgargs, 'escape'), '\\000') AS list) AS argument
WHERE capture.tgfoid = to_regprocedure('storekeeper.note_changes()') AND capture.tgname = 'storekeeper_note_insert'
  AND capture.tgnargs = 5 AND (argument.list)[1] = :dataset
  AND part.relkind = 'r' AND NOT part.relispartition AND space.nspname = :schema
ORDER BY 2"""

_DETACHING = """
SELECT part.relname
FROM pg_catalog.pg_inherits AS link
JOIN pg_catalog.pg_class AS part ON part.oid = link.inhrelid
WHERE link.inhparent = to_regclass(:table) AND link.inhdetachpending"""

_PENDING = """
SELECT change.lower, change.upper FROM storekeeper.invalidations AS change WHERE change.dataset = :dataset"""

#: Takes what changed within the window; what reaches beyond it stays noted.
_CONSUME = """
WITH taken AS (
    DELETE FROM storekeeper.invalidations
    WHERE dataset = :source AND lower < :upper AND upper > :lower
    RETURNING lower, upper
)
INSERT INTO storekeeper.invalidations (dataset, lower, upper)
SELECT :source, lower, CAST(:lower AS timestamptz) FROM taken WHERE lower < :lower
UNION ALL
SELECT :source, CAST(:upper AS timestamptz), upper FROM taken WHERE upper > :upper"""

_STATISTICS = f"""
SELECT count(*), coalesce(sum(rows), 0)::bigint, coalesce(sum(bytes), 0)::bigint
FROM ({_CHUNKS}) AS chunks (name, lower, upper, rows, bytes)"""


_NOTHING = Statement("SELECT 1 WHERE false")


@dataclass(frozen=True)
class PartitionsEngine:
    """Declarative range partitions, made ahead of time or on demand; detached concurrently before they are dropped."""

    name: Literal["partitions"] = "partitions"
    label: str = "plain PostgreSQL partitions"
    columnstore: bool = False
    detaches: bool = True
    copies_late: bool = True
    refreshes_alone: bool = False
    note: str = field(default="", compare=False)

    def create_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        return self._create(Level(hypertable, 0), hypertable.late_rows)

    def drop_hypertable(self, hypertable: Hypertable) -> list[Statement]:
        return self._drop(Level(hypertable, 0))

    def alter_hypertable(self, before: Hypertable, after: Hypertable) -> list[Statement]:
        return on_record(before, after)  # all that differs is how long the chunks to come are

    def create_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]:
        level = level_of(hypertable, rollup)
        source = literal(level.source.name)
        chunks = _CHUNKS.replace(":table", literal(_text_name(level.source)))
        return [
            # a writer in flight does not note its rows yet, and they would not be seen here either
            lock_series(level.source.name),
            *self._create(level, "refuse"),
            # from here on changes are noted; what is there already counts as changed
            Statement(f"UPDATE storekeeper.watermarks SET rolled_up = true WHERE dataset = {source}"),
            Statement(
                "INSERT INTO storekeeper.invalidations (dataset, lower, upper)\n"
                f"SELECT {source}, min(lower), max(upper) FROM ({chunks}) AS chunk HAVING min(lower) IS NOT NULL"
            ),
        ]

    def drop_rollup(self, hypertable: Hypertable, rollup: Rollup) -> list[Statement]:
        level = level_of(hypertable, rollup)
        source = literal(level.source.name)
        return [
            *self._drop(level),
            Statement(f"UPDATE storekeeper.watermarks SET rolled_up = false WHERE dataset = {source}"),
            Statement(f"DELETE FROM storekeeper.invalidations WHERE dataset = {source}"),
        ]

    def _create(self, level: Level, late_rows: str) -> list[Statement]:
        indexes = sorted(level.table.indexes, key=lambda index: str(index.name))
        return [
            Statement(f"{create_table(level.table)} PARTITION BY RANGE ({quoted(level.time)})"),
            *(Statement(create_index(index)) for index in indexes),
            Statement(
                "INSERT INTO storekeeper.watermarks (dataset, late_rows, chunk, dropped_before) VALUES\n"
                f"({literal(level.name)}, {literal(late_rows)}, {literal(level.chunk.sql)}, {gone_before(level)})"
            ),
            *capture(level),
        ]

    def _drop(self, level: Level) -> list[Statement]:
        dataset = literal(level.name)
        shown = f"DROP VIEW IF EXISTS {qualified(level.schema, level.view_name)}"
        return [
            *([Statement(shown)] if level.depth else []),
            Statement(f"DROP TABLE {qualified(level.schema, level.table_name)}"),
            Statement(f"DELETE FROM storekeeper.invalidations WHERE dataset = {dataset}"),
            Statement(f"DELETE FROM storekeeper.watermarks WHERE dataset = {dataset}"),
        ]

    def chunks(self, level: Level) -> Inspection[list[Chunk]]:
        return Inspection(Statement(_CHUNKS, {"table": _text_name(level)}), lambda rows: _chunks(level, rows))

    def leftovers(self, level: Level) -> Inspection[list[Chunk]]:
        statement = Statement(_LEFTOVERS, {"dataset": level.name, "schema": level.schema})
        return Inspection(statement, lambda rows: _chunks(level, rows))

    def make_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        parent = qualified(level.schema, level.table_name)
        statements = []
        for piece in ranges:
            name = chunk_name(level.table_name, piece)
            chunk = qualified(level.schema, name)
            statements += [
                # attached, not made in place: PARTITION OF would lock out every reader and writer of the parent
                Statement(
                    f"CREATE TABLE {chunk} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
                    "INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)"
                ),
                *capture(level, name, piece),
                Statement(
                    f"ALTER TABLE {parent} ATTACH PARTITION {chunk} "
                    f"FOR VALUES FROM ({instant(piece.lower)}) TO ({instant(piece.upper)})"
                ),
            ]
        return statements

    def ask_for_chunks(self, level: Level, ranges: Iterable[Range]) -> list[Statement]:
        call = "SELECT storekeeper.make_chunk(:dataset, CAST(:lower AS timestamptz), CAST(:upper AS timestamptz))"
        return [
            Statement(call, {"dataset": level.name, "lower": piece.lower, "upper": piece.upper}) for piece in ranges
        ]

    def pending(self, level: Level) -> Inspection[list[Range]]:
        return Inspection(
            Statement(_PENDING, {"dataset": level.name}),
            lambda rows: list(merged(Range(as_utc(lower), as_utc(upper)) for lower, upper in rows)),
        )

    def refresh(self, level: Level, window: Range) -> list[Statement]:
        source, rollup = level.source, qualified(level.schema, level.table_name)
        bounds: dict[str, object] = {"source": source.name, "lower": window.lower, "upper": window.upper}
        parameters = {**bounds, "rollup": level.name}
        return [
            Statement(_CONSUME, bounds),
            Statement(f"DELETE FROM {rollup} WHERE {within('bucket')}", parameters),
            Statement(
                f"INSERT INTO {rollup} ({listed(level.buckets.columns)})\n"
                f"{select_rollup(level, within(quoted(source.time)))}",
                parameters,
            ),
        ]

    def noted(self, level: Level, window: Range) -> Inspection[list[int]]:
        return Inspection(_NOTHING, lambda rows: [])  # a refresh sees to them itself

    def settle(self, level: Level, window: Range, noted: Sequence[int], made: Range | None) -> list[Statement]:
        return []

    def verify(self, level: Level, window: Range) -> Inspection[int]:
        return verification(level, window)

    def statistics(self, level: Level) -> Inspection[Statistics]:
        return Inspection(
            Statement(_STATISTICS, {"table": _text_name(level)}),
            lambda rows: Statistics(rows[0][0], 0, 0, rows[0][1], rows[0][2]),
        )

    def adjustments(self, level: Level) -> Inspection[tuple[Adjustment, ...]]:
        # how long a chunk is stands on record only, and `migrate` puts it there
        return Inspection(_NOTHING, lambda rows: ())

    def compress(self, level: Level, chunk: Chunk) -> list[Statement]:
        raise NotSupportedError(
            f"columnstore is not supported by {self.label}",
            operation="compress",
            target=chunk.table,
            hint="its chunks stay as they are; a server with TimescaleDB compresses them",
        )

    def policies(self, level: Level) -> Inspection[list[Policy]]:
        return Inspection(_NOTHING, lambda rows: [])

    def definition(self, level: Level) -> Definition:
        # a table does not tell what it was made of
        return Definition((), Inspection(_NOTHING, lambda rows: ""))

    def recompress(self, level: Level, chunk: Chunk) -> list[Statement]:
        return self.compress(level, chunk)

    def detach(self, level: Level, chunk: Chunk) -> list[Statement]:
        return [
            Statement(
                f"ALTER TABLE {qualified(level.schema, level.table_name)} "
                f"DETACH PARTITION {qualified(level.schema, chunk.name)} CONCURRENTLY",
                autocommit=True,
            )
        ]

    def drop(self, level: Level, chunk: Chunk) -> list[Statement]:
        return [Statement(f"DROP TABLE IF EXISTS {qualified(level.schema, chunk.name)}")]

    def finish_detaching(self, level: Level) -> Inspection[list[Statement]]:
        parent = qualified(level.schema, level.table_name)
        return Inspection(
            Statement(_DETACHING, {"table": _text_name(level)}),
            lambda rows: [
                Statement(
                    f"ALTER TABLE {parent} DETACH PARTITION {qualified(level.schema, row[0])} FINALIZE", autocommit=True
                )
                for row in rows
            ],
        )


def _text_name(level: Level) -> str:
    return qualified(level.schema, level.table_name)


def _chunks(level: Level, rows: Sequence[Any]) -> list[Chunk]:
    return [
        Chunk(level.name, name, Range(as_utc(lower), as_utc(upper)), count, size or 0)
        for name, lower, upper, count, size in rows
    ]
