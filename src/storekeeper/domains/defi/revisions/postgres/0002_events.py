"""Events that are only appended, how far they can be read without a gap, and where the archived ones are."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "defi_0002"
down_revision = "defi_0001"
branch_labels = None
depends_on = None

# Numbers are drawn before their transaction commits, so a higher one may be seen first. A transaction that is about to
# draw its first holds, until it ends, a shared advisory lock whose second number is the last id drawn before (its lower
# 32 bits): all of its own ids are above that. One lock a transaction, however often it appends: the setting remembers,
# and is undone with the savepoint that releases the lock.
ENTER = """
CREATE FUNCTION defi._enter_event_writer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    drawn bigint;
BEGIN
    IF coalesce(current_setting('defi.event_writer', true), '') = '' THEN
        SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END INTO drawn FROM defi.event_store_id_seq;
        PERFORM pg_advisory_xact_lock_shared(x'64656669'::int, (drawn & 4294967295)::bit(32)::int);
        PERFORM set_config('defi.event_writer', drawn::text, true);
    END IF;
    RETURN NULL;
END
$body$
"""

# The order of the two steps is what makes it safe: an id that was drawn by the first is either of a transaction that
# still holds its lock at the second, and then the answer is below it, or of one that has ended before, and then the
# next statement sees it. So it takes a transaction whose every statement has a snapshot of its own.
HORIZON = """
CREATE FUNCTION defi.event_horizon() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    drawn bigint;
    held bigint;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'a snapshot that was taken earlier cannot tell how far events are complete'
        USING ERRCODE = '0A000', HINT = 'read events in a transaction of isolation level read committed';
    END IF;
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'a standby does not know which transactions are appending events'
        USING ERRCODE = '0A000', HINT = 'read all events in their order from the primary server';
    END IF;
    SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END INTO drawn FROM defi.event_store_id_seq;
    -- of those that entered after the first step the difference is negative, which is the upper half of 32 bits
    SELECT max(behind.by) FILTER (WHERE behind.by < 2147483648) INTO held
    FROM pg_locks l CROSS JOIN LATERAL (SELECT (drawn - l.objid::bigint) & 4294967295 AS by) behind
    WHERE l.locktype = 'advisory' AND l.classid = x'64656669'::int::oid AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN drawn - coalesce(held, 0);
END
$body$
"""

# Whoever inserts: an archived event is no longer in the table, so the unique key alone would let its version in again.
REFUSE_ARCHIVED = """
CREATE FUNCTION defi._refuse_archived_versions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF EXISTS (
        SELECT FROM added JOIN defi.archived_streams archived USING (aggregate_id)
        WHERE added.version <= archived.version
    ) THEN
        RAISE EXCEPTION 'an event of this aggregate and version is archived'
        USING ERRCODE = '23505', SCHEMA = 'defi', TABLE = 'event_store',
            CONSTRAINT = 'uq_event_store_aggregate_version';
    END IF;
    RETURN NULL;
END
$body$
"""

REFUSE_CHANGES = """
CREATE FUNCTION defi._refuse_event_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'events are only appended'
    USING ERRCODE = 'SK003', SCHEMA = 'defi', TABLE = tg_table_name,
        HINT = 'correct an event by a further one; archiving takes the oldest out';
END
$body$
"""

KEEP_UNTIL_ARCHIVED = """
CREATE FUNCTION defi._keep_until_archived() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF EXISTS (
        SELECT FROM gone
        WHERE NOT EXISTS (
            SELECT FROM defi.event_archives file WHERE gone.id > file.after_id AND gone.id <= file.last_id
        )
    ) THEN
        RAISE EXCEPTION 'events stay until an archive holds them'
        USING ERRCODE = 'SK003', SCHEMA = 'defi', TABLE = 'event_store',
            HINT = 'correct an event by a further one; archiving takes the oldest out';
    END IF;
    RETURN NULL;
END
$body$
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE defi.event_store (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            aggregate_type VARCHAR(100) NOT NULL,
            aggregate_id UUID NOT NULL,
            version INTEGER NOT NULL,
            event_type VARCHAR(100) NOT NULL,
            payload JSONB NOT NULL,
            metadata JSONB NOT NULL DEFAULT '{}',
            occurred_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT uq_event_store_aggregate_version UNIQUE (aggregate_id, version)
        )
    """)
    op.execute("CREATE INDEX ix_event_store_type_occurred ON defi.event_store (event_type, occurred_at)")
    op.execute("""
        CREATE TABLE defi.event_archives (
            last_id BIGINT PRIMARY KEY,
            after_id BIGINT NOT NULL UNIQUE,
            name VARCHAR(200) NOT NULL UNIQUE,
            sha256 VARCHAR(64) NOT NULL,
            rows BIGINT NOT NULL,
            archived_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT event_archives_range_check CHECK (after_id >= 0 AND last_id > after_id),
            CONSTRAINT event_archives_rows_check CHECK (rows > 0)
        )
    """)
    op.execute("""
        CREATE TABLE defi.archived_streams (
            aggregate_id UUID PRIMARY KEY,
            aggregate_type VARCHAR(100) NOT NULL,
            version INTEGER NOT NULL
        )
    """)
    for function in (ENTER, HORIZON, REFUSE_ARCHIVED, REFUSE_CHANGES, KEEP_UNTIL_ARCHIVED):
        execute_verbatim(function)
    op.execute("REVOKE ALL ON FUNCTION defi.event_horizon() FROM PUBLIC")
    for name in FUNCTIONS_OF_TRIGGERS:
        op.execute(f"REVOKE ALL ON FUNCTION defi.{name}() FROM PUBLIC")
    # a statement's trigger, because it fires before the first row draws its number
    op.execute("""
        CREATE TRIGGER event_store_writer BEFORE INSERT ON defi.event_store
        FOR EACH STATEMENT EXECUTE FUNCTION defi._enter_event_writer()
    """)
    op.execute("""
        CREATE TRIGGER event_store_archived AFTER INSERT ON defi.event_store
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION defi._refuse_archived_versions()
    """)
    op.execute("""
        CREATE TRIGGER event_store_unchanged BEFORE UPDATE OR TRUNCATE ON defi.event_store
        FOR EACH STATEMENT EXECUTE FUNCTION defi._refuse_event_changes()
    """)
    op.execute("""
        CREATE TRIGGER event_store_kept AFTER DELETE ON defi.event_store
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION defi._keep_until_archived()
    """)
    op.execute("""
        CREATE TRIGGER event_archives_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON defi.event_archives
        FOR EACH STATEMENT EXECUTE FUNCTION defi._refuse_event_changes()
    """)


FUNCTIONS_OF_TRIGGERS = (
    "_enter_event_writer",
    "_refuse_archived_versions",
    "_refuse_event_changes",
    "_keep_until_archived",
)


def downgrade() -> None:
    op.execute("DROP TABLE defi.archived_streams")
    op.execute("DROP TABLE defi.event_archives")
    op.execute("DROP TABLE defi.event_store")
    op.execute("DROP FUNCTION defi.event_horizon()")
    for name in FUNCTIONS_OF_TRIGGERS:
        op.execute(f"DROP FUNCTION defi.{name}()")
