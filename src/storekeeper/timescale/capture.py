"""Capture of changes: statement triggers note which times of a series changed, and refuse rows below its watermark.

Rows written by anybody count, through the parent or through a chunk by name. A trigger's arguments:

    note_changes(dataset, time column, width[, lower, upper])

One invalidation is written a touched `width` (the chunk's length), from the earliest to the latest changed time;
`lower` and `upper` are the bounds of the chunk that the trigger stands on, by which a detached chunk is found again.
Each statement shares the dataset's series lock until its transaction ends, so that raising a watermark waits for
writers in flight, and writers after it see the new one.

A hypertable's statement triggers stand on it alone, and TimescaleDB lets none see the rows that a DELETE takes out of
a columnstore, nor, before 2.18, any rows at all. There row triggers note them, which the server puts on every chunk:

    note_row(dataset, time column, width)

The first row of a `width` notes all of it; the statement's end cuts that down to the rows that there were. Rows that
are written to a chunk by its own name pass the statement triggers by: of these only deletions are noted.
"""

from __future__ import annotations

from typing import Final

from storekeeper.catalog import Range
from storekeeper.timescale.levels import Level
from storekeeper.timescale.quoting import instant, literal, qualified, quoted, verbatim
from storekeeper.timescale.spellings import Spelling
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
    IF tg_op = 'TRUNCATE' AND tg_nargs = 3 THEN  -- of a hypertable, before it: all that it holds
        EXECUTE format('SELECT min(%1$I) AS lower, max(%1$I) AS upper FROM %2$I.%3$I',
            tg_argv[1], tg_table_schema, tg_table_name) INTO piece;
        IF mark.rolled_up AND piece.upper >= coalesce(mark.dropped_before, '-infinity') THEN
            INSERT INTO storekeeper.invalidations (dataset, lower, upper)
            VALUES (series, greatest(piece.lower, mark.dropped_before), piece.upper + interval '1 microsecond');
        END IF;
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


def _moment(microseconds: str) -> str:
    """The time that is so many microseconds after 1970; an interval times a large number is not exact."""
    return f"epoch + {microseconds} / 3600000000 * hour + {microseconds} % 3600000000 * microsecond"


#: What was noted last is kept in a setting of the transaction: dataset, id of the note (0: there is none), the bounds
#: of the width that it covers, those of the changed times; in microseconds, the upper ones beyond them.
NOTE_ROW = f"""
CREATE OR REPLACE FUNCTION storekeeper.note_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    series CONSTANT text := tg_argv[0];
    noted text[] := string_to_array(nullif(current_setting('storekeeper.noted', true), ''), '|');
    ours boolean := coalesce(noted[1] = series, false);
    epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
    hour CONSTANT interval := '1 hour';
    microsecond CONSTANT interval := '1 microsecond';
    moments timestamptz[] := ARRAY[]::timestamptz[];
    moment timestamptz;
    instant bigint;
    first_instant bigint;
    last_instant bigint;
    note bigint;
    bound bigint;
    series_hash bytea;
    mark storekeeper.watermarks;
BEGIN
    IF tg_level = 'ROW' THEN
        IF tg_op <> 'INSERT' THEN
            moments := ARRAY[(to_jsonb(old) ->> tg_argv[1])::timestamptz];
        END IF;
        IF tg_op <> 'DELETE' THEN
            moments := moments || (to_jsonb(new) ->> tg_argv[1])::timestamptz;
        END IF;
        FOREACH moment IN ARRAY moments LOOP
            instant := (extract(epoch FROM moment) * 1000000)::bigint;
            IF ours AND instant >= noted[3]::bigint AND instant < noted[4]::bigint THEN
                IF instant < noted[5]::bigint OR instant >= noted[6]::bigint THEN
                    noted[5] := least(noted[5]::bigint, instant);
                    noted[6] := greatest(noted[6]::bigint, instant + 1);
                    PERFORM set_config('storekeeper.noted', array_to_string(noted, '|'), true);
                END IF;
                CONTINUE;
            END IF;
            IF noted[2]::bigint > 0 THEN
                UPDATE storekeeper.invalidations
                SET lower = {_moment("noted[5]::bigint")},
                    upper = {_moment("noted[6]::bigint")}
                WHERE id = noted[2]::bigint AND dataset = noted[1];
            END IF;
            -- the key of the ledger's series lock
            series_hash := sha256(convert_to('series/' || series, 'UTF8'));
            PERFORM pg_advisory_xact_lock_shared({_NAMESPACE},
                ('x' || encode(substring(series_hash FROM 1 FOR 4), 'hex'))::bit(32)::integer);
            IF current_setting('transaction_isolation') = 'read committed' THEN
                SELECT * INTO mark FROM storekeeper.watermarks WHERE dataset = series;
            ELSE  -- an older snapshot would hide a watermark that was raised since: locking its row fails (40001)
                SELECT * INTO mark FROM storekeeper.watermarks WHERE dataset = series FOR SHARE;
            END IF;
            IF NOT found THEN
                RAISE EXCEPTION 'dataset % has no row in storekeeper.watermarks', series USING ERRCODE = 'SK002';
            END IF;
            IF mark.late_rows = 'refuse' AND moment < mark.dropped_before THEN
                RAISE EXCEPTION 'rows of % before % are gone; one of % was to be changed', series,
                    to_char(mark.dropped_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                    to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
                USING ERRCODE = '{BELOW_WATERMARK}', SCHEMA = tg_table_schema, TABLE = tg_table_name,
                    COLUMN = tg_argv[1],
                    HINT = 'retention has dropped older rows, the rollups hold them; '
                        'load history before the first drop';
            END IF;
            first_instant := (extract(epoch FROM date_bin(tg_argv[2]::interval, moment, '2000-01-03 00:00:00+00'))
                * 1000000)::bigint;
            last_instant := first_instant + (extract(epoch FROM tg_argv[2]::interval) * 1000000)::bigint;
            note := 0;
            bound := (extract(epoch FROM mark.dropped_before) * 1000000)::bigint;
            IF moment < mark.dropped_before THEN
                last_instant := least(last_instant, bound);
            ELSE
                first_instant := greatest(first_instant, bound);
                IF mark.rolled_up THEN
                    INSERT INTO storekeeper.invalidations (dataset, lower, upper)
                    VALUES (series,
                        {_moment("first_instant")},
                        {_moment("last_instant")})
                    RETURNING id INTO note;
                END IF;
            END IF;
            noted := ARRAY[series, note::text, first_instant::text, last_instant::text,
                instant::text, (instant + 1)::text];
            ours := true;
            PERFORM set_config('storekeeper.noted', array_to_string(noted, '|'), true);
        END LOOP;
        RETURN NULL;
    END IF;
    IF ours THEN
        UPDATE storekeeper.invalidations
        SET lower = {_moment("noted[5]::bigint")},
            upper = {_moment("noted[6]::bigint")}
        WHERE id = noted[2]::bigint AND dataset = series;
        PERFORM set_config('storekeeper.noted', '', true);
    END IF;
    RETURN NULL;
END
$body$"""


def create_functions() -> list[Statement]:
    """The functions that the triggers call. The tables of the ledger must be there."""
    return [Statement(verbatim(NOTE_CHANGES.strip())), Statement(verbatim(NOTE_ROW.strip()))]


def lock_series(dataset: str) -> Statement:
    """Waits until no statement that changes rows of a dataset is in flight, and lets none begin before the commit."""
    digest = f"sha256(convert_to({literal(f'series/{dataset}')}, 'UTF8'))"
    key = f"('x' || encode(substring({digest} FROM 1 FOR 4), 'hex'))::bit(32)::integer"
    return Statement(f"SELECT pg_advisory_xact_lock({_NAMESPACE}, {key})")


def drop_functions() -> list[Statement]:
    return [Statement(f"DROP FUNCTION IF EXISTS storekeeper.{name}()") for name in ("note_changes", "note_row")]


def capture(level: Level, table: str | None = None, chunk: Range | None = None) -> list[Statement]:
    """Triggers on the table of a level, or on one of its chunks."""
    arguments = _arguments(level)
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


_TRANSITIONS: Final = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
}


def capture_names(words: Spelling) -> tuple[str, ...]:
    """The triggers of a hypertable, by the version's abilities."""
    rows = ("delete",) if words.transition_tables else ("insert", "update", "delete")
    names = ["truncate", *(f"{event}_row" for event in rows), "insert", "update", "delete"]
    return tuple(f"storekeeper_note_{name}" for name in names)


def capture_hypertable(level: Level, words: Spelling) -> list[Statement]:
    """Triggers on a hypertable."""
    on = qualified(level.schema, level.table_name)
    arguments = ", ".join(literal(argument) for argument in _arguments(level))
    made = []
    for name in capture_names(words):
        _, _, event, *by_row = name.split("_")
        each = "FOR EACH ROW" if by_row else "FOR EACH STATEMENT"
        rows = "" if by_row else _TRANSITIONS.get(event, "") if words.transition_tables else ""
        function = "note_changes" if event == "truncate" or rows else "note_row"
        # before a TRUNCATE there still is what it takes
        when = "BEFORE" if event == "truncate" else "AFTER"
        made.append(
            Statement(
                f"CREATE TRIGGER {quoted(name)} {when} {event.upper()} ON {on} {rows} "
                f"{each} EXECUTE FUNCTION storekeeper.{function}({arguments})"
            )
        )
    return made


def _arguments(level: Level) -> list[str]:
    width = f"{level.chunk.months * 30} days" if level.chunk.calendar else level.chunk.sql
    return [level.name, level.time, width]
