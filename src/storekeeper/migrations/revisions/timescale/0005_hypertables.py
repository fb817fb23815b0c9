"""Hypertables: their changes are noted, by row where the server shows a statement none; chunks made for services."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "storekeeper_0005"
down_revision = "storekeeper_0004"
branch_labels = None
depends_on = None

NOTE_CHANGES = """
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
    PERFORM pg_advisory_xact_lock_shared(1937010546, series_lock);
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
            USING ERRCODE = 'SK001', SCHEMA = tg_table_schema, TABLE = tg_table_name, COLUMN = tg_argv[1],
                HINT = 'retention has dropped older rows, the rollups hold them; load history before the first drop';
        END IF;
        IF mark.rolled_up THEN
            INSERT INTO storekeeper.invalidations (dataset, lower, upper)
            VALUES (series, piece.lower, piece.upper + interval '1 microsecond');
        END IF;
    END LOOP;
    RETURN NULL;
END
$body$
"""

NOTE_ROW = """
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
                SET lower = epoch + noted[5]::bigint / 3600000000 * hour + noted[5]::bigint % 3600000000 * microsecond,
                    upper = epoch + noted[6]::bigint / 3600000000 * hour + noted[6]::bigint % 3600000000 * microsecond
                WHERE id = noted[2]::bigint AND dataset = noted[1];
            END IF;
            -- the key of the ledger's series lock
            series_hash := sha256(convert_to('series/' || series, 'UTF8'));
            PERFORM pg_advisory_xact_lock_shared(1937010546,
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
                USING ERRCODE = 'SK001', SCHEMA = tg_table_schema, TABLE = tg_table_name,
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
                        epoch + first_instant / 3600000000 * hour + first_instant % 3600000000 * microsecond,
                        epoch + last_instant / 3600000000 * hour + last_instant % 3600000000 * microsecond)
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
        SET lower = epoch + noted[5]::bigint / 3600000000 * hour + noted[5]::bigint % 3600000000 * microsecond,
            upper = epoch + noted[6]::bigint / 3600000000 * hour + noted[6]::bigint % 3600000000 * microsecond
        WHERE id = noted[2]::bigint AND dataset = series;
        PERFORM set_config('storekeeper.noted', '', true);
    END IF;
    RETURN NULL;
END
$body$
"""

AS_BEFORE = """
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
    PERFORM pg_advisory_xact_lock_shared(1937010546, series_lock);
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
            USING ERRCODE = 'SK001', SCHEMA = tg_table_schema, TABLE = tg_table_name, COLUMN = tg_argv[1],
                HINT = 'retention has dropped older rows, the rollups hold them; load history before the first drop';
        END IF;
        IF mark.rolled_up THEN
            INSERT INTO storekeeper.invalidations (dataset, lower, upper)
            VALUES (series, piece.lower, piece.upper + interval '1 microsecond');
        END IF;
    END LOOP;
    RETURN NULL;
END
$body$
"""

# As make_chunk does for partitions: of which table, in which grid, the store knows. Where chunks of another grid are in
# the way none is made; then the server makes one as the rows come.
MAKE_CHUNK = r"""
CREATE FUNCTION storekeeper.make_hypertable_chunk(dataset text, lower timestamptz, upper timestamptz) RETURNS boolean
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $body$
DECLARE
    -- the key of the ledger's chunks lock
    lock_hash CONSTANT bytea := sha256(convert_to('chunks/' || dataset, 'UTF8'));
    lock_key CONSTANT integer := ('x' || encode(substring(lock_hash FROM 1 FOR 4), 'hex'))::bit(32)::integer;
    fits CONSTANT text := 'YYYY-MM-DD HH24:MI:SS.US';
    mark storekeeper.watermarks;
    parent record;
    step interval;
    months integer;
    first_instant timestamptz;
    last_instant timestamptz;
BEGIN
    SELECT * INTO mark FROM storekeeper.watermarks AS known WHERE known.dataset = make_hypertable_chunk.dataset;
    SELECT table_space.nspname, main.relname, main.oid, argument.list[2] AS time_column INTO parent
    FROM pg_catalog.pg_trigger AS capture
    JOIN pg_catalog.pg_class AS main ON main.oid = capture.tgrelid
    JOIN pg_catalog.pg_namespace AS table_space ON table_space.oid = main.relnamespace
    JOIN _timescaledb_catalog.hypertable AS held
        ON held.schema_name = table_space.nspname AND held.table_name = main.relname
    CROSS JOIN LATERAL (SELECT string_to_array(encode(capture.tgargs, 'escape'), '\000') AS list) AS argument
    WHERE capture.tgfoid IN (to_regprocedure('storekeeper.note_changes()'), to_regprocedure('storekeeper.note_row()'))
      AND capture.tgname = 'storekeeper_note_insert' AND capture.tgnargs = 3
      AND argument.list[1] = make_hypertable_chunk.dataset;
    IF mark.dataset IS NULL OR mark.chunk IS NULL OR parent.oid IS NULL THEN
        RAISE EXCEPTION 'dataset % is not known to the store', dataset
        USING ERRCODE = 'SK002', HINT = 'run `storekeeper migrate`';
    END IF;
    IF NOT (lower >= '0001-01-01 00:00:00+00' AND upper < '10000-01-01 00:00:00+00') THEN
        RAISE EXCEPTION 'a chunk of % lies in the years 1 to 9999', dataset USING ERRCODE = '22023';
    END IF;
    step := mark.chunk::interval;
    months := extract(year FROM step)::integer * 12 + extract(month FROM step)::integer;
    IF months > 0 THEN
        first_instant := date_trunc('month', lower);
        first_instant := first_instant - make_interval(months => mod(
            mod(extract(year FROM first_instant)::integer * 12 + extract(month FROM first_instant)::integer - 24001,
                months) + months, months));
    ELSE
        first_instant := date_bin(step, lower, '2000-01-03 00:00:00+00');
    END IF;
    last_instant := first_instant + step;
    IF lower <> first_instant OR upper <> last_instant THEN
        RAISE EXCEPTION 'a chunk of % is not [%, %)', dataset, to_char(lower, fits), to_char(upper, fits)
        USING ERRCODE = '22023',
            HINT = format('the one there is [%s, %s)', to_char(first_instant, fits), to_char(last_instant, fits));
    END IF;
    IF mark.late_rows = 'refuse' AND upper <= mark.dropped_before THEN
        RAISE EXCEPTION 'rows of % before % are gone', dataset, to_char(mark.dropped_before, fits)
        USING ERRCODE = 'SK001',
            HINT = 'retention has dropped older rows, the rollups hold them; load history before the first drop';
    END IF;
    PERFORM pg_advisory_xact_lock(1937010546, lock_key);
    IF EXISTS (
        SELECT FROM timescaledb_information.chunks AS chunk
        WHERE chunk.hypertable_schema = parent.nspname AND chunk.hypertable_name = parent.relname
          AND chunk.range_start < last_instant AND chunk.range_end > first_instant
    ) THEN
        RETURN false;
    END IF;
    PERFORM _timescaledb_functions.create_chunk(parent.oid::regclass, jsonb_build_object(parent.time_column,
        jsonb_build_array(
            (extract(epoch FROM lower) * 1000000)::bigint, (extract(epoch FROM upper) * 1000000)::bigint)));
    RETURN true;
EXCEPTION WHEN undefined_object THEN
    -- before 2.15 the server says that one is not found which was dropped: its first row makes it
    RETURN false;
END
$body$
"""


def upgrade() -> None:
    execute_verbatim(NOTE_CHANGES)
    execute_verbatim(NOTE_ROW)
    execute_verbatim(MAKE_CHUNK)
    # as with the other: who may execute it can put it on a temporary table; to fire it takes no right
    op.execute("REVOKE ALL ON FUNCTION storekeeper.note_row() FROM PUBLIC")
    op.execute("REVOKE ALL ON FUNCTION storekeeper.make_hypertable_chunk(text, timestamptz, timestamptz) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION storekeeper.make_hypertable_chunk(text, timestamptz, timestamptz)")
    op.execute("DROP FUNCTION storekeeper.note_row()")
    execute_verbatim(AS_BEFORE)
