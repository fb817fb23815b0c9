"""How far each back-fill of a revision has come."""

from __future__ import annotations

from alembic import op

revision = "storekeeper_0005"
down_revision = "storekeeper_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE storekeeper.backfills (
            revision TEXT NOT NULL,
            name TEXT NOT NULL,
            table_name TEXT NOT NULL,
            statement TEXT NOT NULL,
            at TEXT[],
            rows_about BIGINT NOT NULL,
            rows_seen BIGINT NOT NULL DEFAULT 0,
            rows_changed BIGINT NOT NULL DEFAULT 0,
            began_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            changed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            finished_at TIMESTAMPTZ,
            PRIMARY KEY (revision, name)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE storekeeper.backfills")
