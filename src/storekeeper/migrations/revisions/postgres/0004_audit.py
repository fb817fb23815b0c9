"""The audit log, and the hash chain that seals it."""

from __future__ import annotations

from alembic import op

revision = "storekeeper_0004"
down_revision = "storekeeper_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE storekeeper.audit_log (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            subject_id TEXT NOT NULL,
            actor TEXT,
            request_id TEXT,
            db_role TEXT NOT NULL DEFAULT current_user,
            detail JSONB NOT NULL DEFAULT '{}',
            CONSTRAINT check_action CHECK (action ~ '^[a-z][a-z_]{0,49}$'),
            CONSTRAINT check_detail CHECK (
                jsonb_typeof(detail) = 'object' AND octet_length(detail::text) <= 4096
                AND NOT jsonb_path_exists(detail, '$.* ? (@.type() == "object" || @.type() == "array")')
            )
        )
    """)
    op.execute("CREATE INDEX idx_audit_log_at ON storekeeper.audit_log (at DESC)")
    op.execute("""
        CREATE TABLE storekeeper.audit_chain (
            position BIGINT PRIMARY KEY,
            row_id BIGINT NOT NULL UNIQUE,
            hash BYTEA NOT NULL,
            sealed_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT check_position CHECK (position > 0),
            CONSTRAINT check_hash CHECK (octet_length(hash) = 32)
        )
    """)
    # a list of work, not a mark in the log: rows of the log never change, and what is left to seal is found at once
    op.execute("CREATE TABLE storekeeper.audit_pending (row_id BIGINT PRIMARY KEY)")
    # whatever the INSERT says of them: time, actor, request and role are the server's, as the caller's session has
    # them, also within a function that runs as its owner
    op.execute("""
        CREATE FUNCTION storekeeper._stamp_audit() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $function$
        BEGIN
            NEW.at := clock_timestamp();
            NEW.actor := nullif(current_setting('app.current_user_id', true), '');
            NEW.request_id := nullif(current_setting('app.request_id', true), '');
            NEW.db_role := coalesce(nullif(current_setting('role'), 'none'), session_user);
            RETURN NEW;
        END
        $function$
    """)
    # the owner's, so that whoever may append needs no right to the list
    op.execute("""
        CREATE FUNCTION storekeeper._note_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS $function$
        BEGIN
            INSERT INTO storekeeper.audit_pending (row_id) VALUES (NEW.id);
            RETURN NULL;
        END
        $function$
    """)
    op.execute("""
        CREATE FUNCTION storekeeper._keep_audit() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $function$
        BEGIN
            RAISE EXCEPTION '%.% is only appended to', TG_TABLE_SCHEMA, TG_TABLE_NAME
                USING ERRCODE = 'SK003', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                      HINT = 'what was done is corrected by another row that says so';
        END
        $function$
    """)
    # What policies call before staff reaches rows of others: a row a transaction, table and kind, then true. Whether it
    # is there already the log itself says, and nothing that a session could set: rows since the transaction began are
    # few, and found by index (also by a plan that was made while the log was short). It runs as the owner, since who
    # may append may not read, and takes no text that would be written down.
    op.execute("""
        CREATE FUNCTION storekeeper.staff_reaches(of_table regclass, to_change boolean) RETURNS boolean
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $function$
        DECLARE
            kind CONSTANT text := CASE WHEN to_change THEN 'staff_changed' ELSE 'staff_read' END;
            acting CONSTANT text := nullif(current_setting('app.current_user_id', true), '');
            asked CONSTANT text := nullif(current_setting('app.request_id', true), '');
            named text;
            within jsonb;
        BEGIN
            SELECT n.nspname || '.' || c.relname INTO named
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = of_table;
            IF acting IS NULL OR named IS NULL THEN
                RETURN false;
            END IF;
            IF CAST(current_setting('transaction_read_only') AS boolean) THEN
                RAISE EXCEPTION 'staff reaches rows of others in % only where it leaves a trace', named
                    USING ERRCODE = 'read_only_sql_transaction',
                          DETAIL = 'no trace can be written: the transaction is read only',
                          HINT = 'ask for rows of your own, or in a transaction that may write';
            END IF;
            within := jsonb_build_object('transaction', CAST(pg_current_xact_id() AS text));
            IF NOT EXISTS (
                SELECT FROM storekeeper.audit_log l
                WHERE l.at >= transaction_timestamp() AND l.action = kind AND l.subject = named AND l.actor = acting
                  AND l.request_id IS NOT DISTINCT FROM asked AND l.detail = within
            ) THEN
                INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail)
                VALUES (kind, named, acting, within);
            END IF;
            RETURN true;
        END
        $function$
    """)
    for function in ("_stamp_audit()", "_note_audit()", "_keep_audit()", "staff_reaches(regclass, boolean)"):
        op.execute(f"REVOKE ALL ON FUNCTION storekeeper.{function} FROM PUBLIC")
    op.execute("""
        CREATE TRIGGER stamp_audit BEFORE INSERT ON storekeeper.audit_log
        FOR EACH ROW EXECUTE FUNCTION storekeeper._stamp_audit()
    """)
    op.execute("""
        CREATE TRIGGER note_audit AFTER INSERT ON storekeeper.audit_log
        FOR EACH ROW EXECUTE FUNCTION storekeeper._note_audit()
    """)
    for table in ("audit_log", "audit_chain"):
        op.execute(f"""
            CREATE TRIGGER keep_{table} BEFORE UPDATE OR DELETE OR TRUNCATE ON storekeeper.{table}
            FOR EACH STATEMENT EXECUTE FUNCTION storekeeper._keep_audit()
        """)


def downgrade() -> None:
    op.execute("DROP FUNCTION storekeeper.staff_reaches(regclass, boolean)")
    for table in ("audit_pending", "audit_chain", "audit_log"):
        op.execute(f"DROP TABLE storekeeper.{table}")
    for function in ("_stamp_audit", "_note_audit", "_keep_audit"):
        op.execute(f"DROP FUNCTION storekeeper.{function}()")
