"""The run ledger, the applied catalogues, and the function behind every updated_at."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_schema, drop_schema_if_empty

revision = "storekeeper_0001"
down_revision = None
branch_labels = ("storekeeper",)
depends_on = None


def upgrade() -> None:
    create_schema("storekeeper")
    op.execute("""
        CREATE FUNCTION storekeeper.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $function$
        BEGIN
            NEW.updated_at := now();
            RETURN NEW;
        END
        $function$
    """)
    op.execute("""
        CREATE TABLE storekeeper.runs (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            job TEXT NOT NULL,
            scheduled_at TIMESTAMPTZ,
            as_of TIMESTAMPTZ NOT NULL,
            state TEXT NOT NULL DEFAULT 'running',
            runner TEXT NOT NULL,
            started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            finished_at TIMESTAMPTZ,
            rows BIGINT,
            bytes BIGINT,
            reason TEXT,
            report JSONB NOT NULL DEFAULT '[]',
            CONSTRAINT check_state CHECK (state IN ('running', 'done', 'failed', 'cancelled', 'died')),
            CONSTRAINT check_finished CHECK ((state = 'running') = (finished_at IS NULL))
        )
    """)
    op.execute("CREATE INDEX idx_runs_job_started ON storekeeper.runs (job, started_at DESC)")
    op.execute("""
        CREATE UNIQUE INDEX idx_runs_tick ON storekeeper.runs (job, scheduled_at)
        WHERE scheduled_at IS NOT NULL AND state <> 'cancelled'
    """)
    op.execute("""
        CREATE TABLE storekeeper.applied_catalogues (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            digest CHAR(64) NOT NULL,
            version TEXT NOT NULL,
            domains TEXT[] NOT NULL,
            applied_by TEXT NOT NULL DEFAULT current_user,
            applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE storekeeper.applied_catalogues")
    op.execute("DROP TABLE storekeeper.runs")
    op.execute("DROP FUNCTION storekeeper.set_updated_at()")
    drop_schema_if_empty("storekeeper")
