"""Chunks made for those who may only write rows."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "storekeeper_0003"
down_revision = "storekeeper_0002"
branch_labels = None
depends_on = None

# What a chunk is, the store knows: of which table, from the parent's own trigger; how long, from the dataset's row. So
# there is nothing to choose for whoever asks but the place, and that must be where a chunk of this dataset begins.
# What retention left behind of a chunk is dropped only below the watermark, where it was to go anyway.
MAKE_CHUNK = r"""
CREATE FUNCTION storekeeper.make_chunk(dataset text, lower timestamptz, upper timestamptz) RETURNS boolean
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
    stamp text;
    chunk text;
    arguments text;
    event record;
BEGIN
    SELECT * INTO mark FROM storekeeper.watermarks AS known WHERE known.dataset = make_chunk.dataset;
    SELECT table_space.nspname, main.relname, main.oid, argument.list INTO parent
    FROM pg_catalog.pg_trigger AS capture
    JOIN pg_catalog.pg_class AS main ON main.oid = capture.tgrelid
    JOIN pg_catalog.pg_namespace AS table_space ON table_space.oid = main.relnamespace
    CROSS JOIN LATERAL (SELECT string_to_array(encode(capture.tgargs, 'escape'), '\000') AS list) AS argument
    WHERE capture.tgfoid = to_regprocedure('storekeeper.note_changes()') AND capture.tgname = 'storekeeper_note_insert'
      AND capture.tgnargs = 3 AND argument.list[1] = make_chunk.dataset AND main.relkind = 'p';
    IF mark.dataset IS NULL OR mark.chunk IS NULL OR parent.oid IS NULL THEN
        RAISE EXCEPTION 'dataset % is not known to the store', dataset
        USING ERRCODE = 'SK002', HINT = 'run `storekeeper migrate`';
    END IF;
    -- in other years a time is written otherwise than below, and a client may not be able to read it
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
    stamp := to_char(lower, 'YYYYMMDD') || CASE WHEN to_char(lower, 'HH24MI') = '0000' THEN ''
        ELSE to_char(lower, '"t"HH24MI') END;
    chunk := left(parent.relname, 63 - length(stamp) - 2) || '_p' || stamp;
    PERFORM pg_advisory_xact_lock(1937010546, lock_key);
    IF EXISTS (
        SELECT FROM pg_catalog.pg_inherits AS link JOIN pg_catalog.pg_class AS part ON part.oid = link.inhrelid
        WHERE link.inhparent = parent.oid AND NOT link.inhdetachpending AND part.relname = chunk
    ) THEN
        RETURN false;
    END IF;
    IF upper <= mark.dropped_before AND EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS capture
        JOIN pg_catalog.pg_class AS part ON part.oid = capture.tgrelid
        CROSS JOIN LATERAL (SELECT string_to_array(encode(capture.tgargs, 'escape'), '\000') AS list) AS argument
        WHERE part.oid = to_regclass(format('%I.%I', parent.nspname, chunk)) AND NOT part.relispartition
          AND capture.tgfoid = to_regprocedure('storekeeper.note_changes()') AND capture.tgnargs = 5
          AND argument.list[1] = make_chunk.dataset
    ) THEN
        IF chunk IN (
            SELECT held.chunk FROM storekeeper.archived_parts AS held
            WHERE held.dataset = make_chunk.dataset AND held.state = 'kept' AND held.dropped_at IS NULL
        ) THEN
            RAISE EXCEPTION '% is on its way to the archive', chunk
            USING ERRCODE = '55P03',
                HINT = 'late rows of its time are taken again once the retention job has dropped it';
        END IF;
        EXECUTE format('DROP TABLE %I.%I', parent.nspname, chunk);
    END IF;
    EXECUTE format(
        'CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED '
        || 'INCLUDING STORAGE INCLUDING COMPRESSION)', parent.nspname, chunk, parent.relname);
    arguments := format('%L, %L, %L, %L, %L', parent.list[1], parent.list[2], parent.list[3],
        to_char(lower, fits) || '+00', to_char(upper, fits) || '+00');
    FOR event IN
        SELECT * FROM (VALUES
            ('insert', 'REFERENCING NEW TABLE AS new_rows'),
            ('update', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('delete', 'REFERENCING OLD TABLE AS old_rows'),
            ('truncate', '')) AS kind (name, transition)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER %I AFTER %s ON %I.%I %s FOR EACH STATEMENT EXECUTE FUNCTION storekeeper.note_changes(%s)',
            'storekeeper_note_' || event.name, pg_catalog.upper(event.name), parent.nspname, chunk, event.transition,
            arguments);
    END LOOP;
    -- attached, not made in place: PARTITION OF would lock out every reader and writer of the parent
    EXECUTE format('ALTER TABLE %1$I.%2$I ATTACH PARTITION %1$I.%3$I FOR VALUES FROM (%4$L) TO (%5$L)',
        parent.nspname, parent.relname, chunk, to_char(lower, fits) || '+00', to_char(upper, fits) || '+00');
    RETURN true;
END
$body$
"""


def upgrade() -> None:
    # how long a chunk of each dataset is: written when the dataset is made; of those that are there, by `migrate`
    op.execute("ALTER TABLE storekeeper.watermarks ADD COLUMN chunk TEXT")
    execute_verbatim(MAKE_CHUNK)
    op.execute("REVOKE ALL ON FUNCTION storekeeper.make_chunk(text, timestamptz, timestamptz) FROM PUBLIC")
    # who may execute it can put it on a temporary table, with types whose casts then run as the owner; to fire it takes
    # no right. Not given back on the way down.
    op.execute("REVOKE ALL ON FUNCTION storekeeper.note_changes() FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION storekeeper.make_chunk(text, timestamptz, timestamptz)")
    op.execute("ALTER TABLE storekeeper.watermarks DROP COLUMN chunk")
