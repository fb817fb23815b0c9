"""Capture of changes: statement triggers note which times of a series changed, and refuse rows below its watermark.

Rows written by anybody count, through the parent or through a chunk by name. A trigger's arguments:

    note_changes(dataset, time column, width[, lower, upper])

One invalidation is written a touched `width` (the chunk's length), from the earliest to the latest changed time;
`lower` and `upper` are the bounds of the chunk that the trigger stands on, by which a detached chunk is found again.
Each statement shares the dataset's series lock until its transaction ends, so that raising a watermark waits for
writers in flight, and writers after it see the new one.
"""

from __future__ import annotations

from storekeeper.catalog import Range
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import instant, literal, qualified, quoted, verbatim
from storekeeper.timescale.statement import Statement

#: Of the advisory locks, as in the ledger, which stands on the same floor.
_NAMESPACE = 0x73746F72
#: SQLSTATE of a refusal.
BELOW_WATERMARK = "SK001"

#: Made by the platform's own revision in the schema `storekeeper`, owned by the owner of the tables.
NOTE_CHANGES = f"""
CREATE OR REPLACE FUNCTION storekeeper.note_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    series CONSTANT text := tg_argv[0];
    -- the key of the ledger's series lock
    series_hash CONSTANT bytea := sha256(convert_to('series/' || series, 'UTF8'));
    series_lock CONSTANT integer := ('x' || encode(substring(series_hash FROM 1 FOR 4), 'hex'))::bit(32)::integer;
    mark storekeeper.watermarks;
    changed text;
    piece record;
BEGIN
    PERFORM pg_advisory_xact_lock_shared({_NAMESPACE}, series_lock);
    IF current_setting('transaction_isolation') = 'read committed' THEN
        SELECT * INTO mark FROM storekeeper.watermarks WHERE dataset = series;
    ELSE  -- an older snapshot would hide a watermark that was raised since: locking its row fails instead (40001)
        SELECT * INTO mark FROM storekeeper.watermarks WHERE dataset = series FOR SHARE;
    END IF;
    IF NOT found THEN
        RAISE EXCEPTION 'dataset % has no row in storekeeper.watermarks', series USING ERRCODE = 'SK002';
    END IF;
    IF NOT mark.rolled_up AND (mark.dropped_before IS NULL OR mark.late_rows = 'keep') THEN
        RETURN NULL;
    END IF;
    IF tg_op = 'TRUNCATE' THEN  -- of a chunk: the parent's truncates each of them
        IF mark.rolled_up AND tg_argv[4]::timestamptz > coalesce(mark.dropped_before, '-infinity') THEN
            INSERT INTO storekeeper.invalidations (dataset, lower, upper)
            VALUES (series, greatest(tg_argv[3]::timestamptz, mark.dropped_before), tg_argv[4]::timestamptz);
        END IF;
        RETURN NULL;
    END IF;
    changed := CASE tg_op
        WHEN 'INSERT' THEN 'SELECT %1$I AS moment FROM new_rows'
        WHEN 'DELETE' THEN 'SELECT %1$I AS moment FROM old_rows'
        ELSE 'SELECT %1$I AS moment FROM new_rows UNION ALL SELECT %1$I FROM old_rows'
    END;
    FOR piece IN EXECUTE format(
        'SELECT min(moment) AS lower, max(moment) AS upper FROM (' || changed || ') AS change '
        || 'WHERE $1 OR moment >= $2 GROUP BY date_bin(%2$L, moment, ''2000-01-03 00:00:00+00'')',
        tg_argv[1], tg_argv[2]
    ) USING mark.late_rows = 'refuse', coalesce(mark.dropped_before, '-infinity')
    LOOP
        IF piece.lower < mark.dropped_before THEN
            RAISE EXCEPTION 'rows of % before % are gone; one of % was to be changed', series,
                to_char(mark.dropped_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                to_char(piece.lower AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
            USING ERRCODE = '{BELOW_WATERMARK}', SCHEMA = tg_table_schema, TABLE = tg_table_name, COLUMN = tg_argv[1],
                HINT = 'retention has dropped older rows, the rollups hold them; load history before the first drop';
        END IF;
        IF mark.rolled_up THEN
            INSERT INTO storekeeper.invalidations (dataset, lower, upper)
            VALUES (series, piece.lower, piece.upper + interval '1 microsecond');
        END IF;
    END LOOP;
    RETURN NULL;
END
$body$"""


def create_functions() -> list[Statement]:
    """The functions that the triggers call. The tables of the ledger must be there."""
    return [Statement(verbatim(NOTE_CHANGES.strip()))]


def lock_series(dataset: str) -> Statement:
    """Waits until no statement that changes rows of a dataset is in flight, and lets none begin before the commit."""
    digest = f"sha256(convert_to({literal(f'series/{dataset}')}, 'UTF8'))"
    key = f"('x' || encode(substring({digest} FROM 1 FOR 4), 'hex'))::bit(32)::integer"
    return Statement(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, {key})")


def drop_functions() -> list[Statement]:
    return [Statement("DROP FUNCTION IF EXISTS storekeeper.note_changes()")]


def capture(level: Level, table: str | None = None, chunk: Range | None = None) -> list[Statement]:
    """Triggers on the table of a level, or on one of its chunks."""
    width = f"{level.chunk.months * 30} days" if level.chunk.calendar else level.chunk.sql
    arguments = [level.name, level.time, width]
    if chunk is not None:
        arguments += [instant(chunk.lower).strip("'"), instant(chunk.upper).strip("'")]
    call = f"storekeeper.note_changes({', '.join(literal(argument) for argument in arguments)})"
    on = qualified(level.schema, table or level.table_name)
    rows = {
        "insert": "REFERENCING NEW TABLE AS new_rows",
        "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "delete": "REFERENCING OLD TABLE AS old_rows",
    }
    if chunk is not None:
        rows["truncate"] = ""
    return [
        Statement(
            f"CREATE TRIGGER {quoted(f'storekeeper_note_{event}')} AFTER {event.upper()} ON {on} {transition} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {call}"
        )
        for event, transition in rows.items()
    ]
