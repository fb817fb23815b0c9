"""What a TimescaleDB server says of a series: its chunks, how large they are, and what is set. Statements and decoders.

A rollup is named by its view; its chunks are those of the hypertable beneath it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from storekeeper.catalog import Range
from storekeeper.clock import as_utc
from storekeeper.timescale.adjusting import Columnstore, Policy, State
from storekeeper.timescale.chunks import Chunk, Statistics
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import literal
from storekeeper.timescale.spellings import Spelling

#: The hypertable of a level: the table itself, or what a continuous aggregate is kept in.
HELD: Final = """
    SELECT held.id, held.schema_name, held.table_name
    FROM _timescaledb_catalog.hypertable AS held
    WHERE held.id = coalesce(
        (SELECT mat_hypertable_id FROM _timescaledb_catalog.continuous_agg
         WHERE user_view_schema = :schema AND user_view_name = :table),
        (SELECT id FROM _timescaledb_catalog.hypertable WHERE schema_name = :schema AND table_name = :table))"""

#: Bit of a chunk's status: it is compressed, and rows came to it since. Its columnstore is another relation.
_PARTIAL: Final = 8

#: `{known}` and `{packed}` by the version: what ties a row of the server's catalog to its chunk, and the relation that
#: is the columnstore of it.
CHUNKS: Final = f"""
WITH held AS ({HELD})
SELECT chunk.chunk_schema, chunk.chunk_name, chunk.range_start, chunk.range_end,
       CASE WHEN NOT chunk.is_compressed THEN loose.rows
            WHEN known.status & {_PARTIAL} = 0 THEN stored.rows
            -- counted as they came, until somebody counts anew: those that were compressed are among them
            WHEN loose.rows >= stored.rows THEN loose.rows ELSE stored.rows + loose.rows END,
       pg_total_relation_size(part.oid)
           + coalesce(pg_total_relation_size({{packed}}), 0),
       chunk.is_compressed, known.status & {_PARTIAL} <> 0
FROM held
JOIN timescaledb_information.chunks AS chunk
    ON chunk.hypertable_schema = held.schema_name AND chunk.hypertable_name = held.table_name
JOIN pg_catalog.pg_class AS part ON part.oid = to_regclass(format('%I.%I', chunk.chunk_schema, chunk.chunk_name))
JOIN _timescaledb_catalog.chunk AS known ON {{known}}
LEFT JOIN _timescaledb_catalog.compression_chunk_size AS packed ON packed.chunk_id = known.id
CROSS JOIN LATERAL (
    SELECT coalesce(nullif(pg_stat_get_live_tuples(part.oid), 0), greatest(part.reltuples, 0)::bigint)) AS loose (rows)
CROSS JOIN LATERAL (SELECT coalesce(packed.numrows_pre_compression, 0)) AS stored (rows)
ORDER BY chunk.range_start"""

STATISTICS: Final = f"""
WITH chunks AS ({CHUNKS.strip()}),
     packed AS (
         SELECT sum(uncompressed_heap_size + uncompressed_toast_size + uncompressed_index_size)::bigint AS before,
                sum(compressed_heap_size + compressed_toast_size + compressed_index_size)::bigint AS after
         FROM ({HELD}) AS held
         JOIN _timescaledb_catalog.chunk AS known ON known.hypertable_id = held.id
         JOIN _timescaledb_catalog.compression_chunk_size AS size ON size.chunk_id = known.id
     )
SELECT count(*), count(*) FILTER (WHERE chunks.compressed), count(*) FILTER (WHERE chunks.partial),
       coalesce(sum(chunks.rows), 0)::bigint, coalesce(sum(chunks.bytes), 0)::bigint,
       (SELECT before FROM packed), (SELECT after FROM packed)
FROM chunks AS chunks (schema, name, lower, upper, rows, bytes, compressed, partial)"""

#: `{settings}` is the view of what is set, by the version's name for it.
STATE: Final = f"""
WITH held AS ({HELD})
SELECT (SELECT dimension.time_interval FROM timescaledb_information.dimensions AS dimension
        WHERE dimension.hypertable_schema = held.schema_name AND dimension.hypertable_name = held.table_name
          AND dimension.dimension_number = 1),
       coalesce(known.compression_enabled, false), settings.segmentby, settings.orderby,
       EXISTS (SELECT FROM timescaledb_information.chunks AS chunk
           WHERE chunk.hypertable_schema = held.schema_name AND chunk.hypertable_name = held.table_name
             AND chunk.is_compressed),
       ARRAY(SELECT tgname::text FROM pg_catalog.pg_trigger
             WHERE tgrelid = format('%I.%I', held.schema_name, held.table_name)::regclass
               AND tgfoid IN (to_regprocedure('storekeeper.note_changes()'),
                              to_regprocedure('storekeeper.note_row()')) AND tgenabled IN ('O', 'A')
             ORDER BY tgname)
FROM held
LEFT JOIN timescaledb_information.hypertables AS known  -- of a continuous aggregate there is none
    ON known.hypertable_schema = held.schema_name AND known.hypertable_name = held.table_name
LEFT JOIN timescaledb_information.{{settings}} AS settings
    ON settings.hypertable = format('%I.%I', held.schema_name, held.table_name)::regclass"""


#: Policies of the server's, of a table or a continuous aggregate.
POLICIES: Final = f"""
WITH held AS ({HELD})
SELECT job.proc_name, job.job_id
FROM timescaledb_information.jobs AS job
-- of a continuous aggregate it is either its own name that stands there, or that of what it is kept in
JOIN held ON (job.hypertable_schema, job.hypertable_name)
    IN ((held.schema_name, held.table_name), (CAST(:schema AS name), CAST(:table AS name)))
WHERE job.proc_name LIKE 'policy\\_%'
ORDER BY job.job_id"""

#: Whether a continuous aggregate is made of another SELECT than the view beside it, or mixes in what is not refreshed.
DEFINITION: Final = """
SELECT CASE WHEN pg_get_viewdef(made.oid) <> pg_get_viewdef(to_regclass('pg_temp.storekeeper_wanted'))
                THEN 'is made of another SELECT'
            WHEN NOT rollup.materialized_only THEN 'shows rows that were not refreshed yet' ELSE '' END
FROM _timescaledb_catalog.continuous_agg AS rollup
JOIN pg_catalog.pg_namespace AS space ON space.nspname = rollup.direct_view_schema
JOIN pg_catalog.pg_class AS made ON made.relnamespace = space.oid AND made.relname = rollup.direct_view_name
WHERE rollup.user_view_schema = :schema AND rollup.user_view_name = :table"""

_REMOVE: Final = {
    "policy_retention": "SELECT {schema}.remove_retention_policy({table})",
    "policy_refresh_continuous_aggregate": "SELECT {schema}.remove_continuous_aggregate_policy({table})",
    "policy_reorder": "SELECT {schema}.remove_reorder_policy({table})",
}


def policies_of(rows: Sequence[Any], table: str, words: Spelling, schema: str) -> list[Policy]:
    """`table` and `schema` as SQL names them."""
    removing = {**_REMOVE, "policy_compression": words.remove_compression}
    return [
        Policy(name, job, removing.get(name, f"SELECT {{schema}}.delete_job({job})").format(schema=schema, table=table))
        for name, job in rows
    ]


def select_held(level: Level) -> str:
    """The hypertable of a level, as text without parameters."""
    return HELD.replace(":schema", literal(level.schema)).replace(":table", literal(level.table_name)).strip()


def chunk_of(level: Level, row: Sequence[Any]) -> Chunk:
    schema, name, lower, upper, rows, size, compressed, partial = row
    piece = Range(as_utc(lower), as_utc(upper))
    # the server knows no size of a table that is dropped while it lists them
    return Chunk(level.name, name, piece, int(rows), int(size or 0), compressed, partial, schema)


def statistics_of(rows: Sequence[Any]) -> Statistics:
    ((chunks, compressed, partial, count, size, before, after),) = rows
    return Statistics(chunks, compressed, partial, count, size, before or 0, after or 0)


def state_of(rows: Sequence[Any]) -> State | None:
    """None where the server has no such hypertable."""
    if not rows:
        return None
    ((interval, enabled, segments, order, compressed, triggers),) = rows
    columnstore = Columnstore(_terms(segments), _terms(order)) if enabled else None
    return State(interval, columnstore, compressed, tuple(triggers))


def _terms(printed: str | None) -> tuple[str, ...]:
    return tuple(printed.replace('"', "").split(",")) if printed else ()
