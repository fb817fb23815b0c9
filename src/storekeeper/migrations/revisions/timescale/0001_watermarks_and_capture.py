"""Watermarks, noted changes, the engine on record, and the function by which series note their changes."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_schema, drop_schema_if_empty, execute_verbatim

revision = "storekeeper_0001"
down_revision = None
branch_labels = ("storekeeper",)
depends_on = None

NOTE_CHANGES = """
CREATE FUNCTION storekeeper.note_changes() RETURNS trigger
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


def upgrade() -> None:
    create_schema("storekeeper")
    op.execute("""
        CREATE TABLE storekeeper.watermarks (
            dataset TEXT PRIMARY KEY,
            dropped_before TIMESTAMPTZ,
            late_rows TEXT NOT NULL DEFAULT 'refuse',
            rolled_up BOOLEAN NOT NULL DEFAULT false,
            CONSTRAINT check_late_rows CHECK (late_rows IN ('refuse', 'keep'))
        )
    """)
    op.execute("""
        CREATE TABLE storekeeper.invalidations (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            dataset TEXT NOT NULL,
            lower TIMESTAMPTZ NOT NULL,
            upper TIMESTAMPTZ NOT NULL,
            noted_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
        )
    """)
    op.execute("CREATE INDEX idx_invalidations_dataset_lower ON storekeeper.invalidations (dataset, lower)")
    op.execute("""
        CREATE TABLE storekeeper.engines (
            only_one BOOLEAN PRIMARY KEY DEFAULT true,
            engine TEXT NOT NULL,
            server_version TEXT NOT NULL,
            chosen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT check_only_one CHECK (only_one),
            CONSTRAINT check_engine CHECK (engine IN ('partitions', 'hypertables'))
        )
    """)
    execute_verbatim(NOTE_CHANGES)


def downgrade() -> None:
    op.execute("DROP FUNCTION storekeeper.note_changes()")
    op.execute("DROP TABLE storekeeper.engines")
    op.execute("DROP TABLE storekeeper.invalidations")
    op.execute("DROP TABLE storekeeper.watermarks")
    drop_schema_if_empty("storekeeper")
