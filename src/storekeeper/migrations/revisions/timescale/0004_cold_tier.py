"""Which chunks of series lie in the cold tier, and in which files."""

from __future__ import annotations

from alembic import op

revision = "storekeeper_0004"
down_revision = "storekeeper_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE storekeeper.archives (
            dataset TEXT PRIMARY KEY,
            complete_from TIMESTAMPTZ,
            began_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE storekeeper.archived_parts (
            id TEXT PRIMARY KEY,
            dataset TEXT NOT NULL,
            chunk TEXT NOT NULL,
            lower TIMESTAMPTZ NOT NULL,
            upper TIMESTAMPTZ NOT NULL,
            state TEXT NOT NULL DEFAULT 'writing',
            location TEXT NOT NULL,
            rows BIGINT NOT NULL DEFAULT 0,
            bytes BIGINT NOT NULL DEFAULT 0,
            content TEXT,
            manifest CHAR(64),
            began_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            archived_at TIMESTAMPTZ,
            dropped_at TIMESTAMPTZ,
            CONSTRAINT check_state CHECK (state IN ('writing', 'kept', 'replaced')),
            CONSTRAINT check_archived CHECK ((state = 'writing') = (archived_at IS NULL))
        )
    """)
    op.execute("CREATE INDEX idx_archived_parts_dataset_lower ON storekeeper.archived_parts (dataset, lower)")
    op.execute("""
        CREATE UNIQUE INDEX idx_archived_parts_chunk ON storekeeper.archived_parts (dataset, chunk)
        WHERE state = 'kept' AND dropped_at IS NULL
    """)
    op.execute("""
        CREATE TABLE storekeeper.archived_files (
            path TEXT PRIMARY KEY,
            part TEXT NOT NULL REFERENCES storekeeper.archived_parts (id) ON DELETE CASCADE,
            rows BIGINT NOT NULL,
            bytes BIGINT NOT NULL,
            sha256 CHAR(64) NOT NULL,
            earliest TIMESTAMPTZ NOT NULL,
            latest TIMESTAMPTZ NOT NULL
        )
    """)
    op.execute("CREATE INDEX idx_archived_files_part ON storekeeper.archived_files (part)")


def downgrade() -> None:
    # the files stay where they are, and their manifests say what they hold
    op.execute("DROP TABLE storekeeper.archived_files")
    op.execute("DROP TABLE storekeeper.archived_parts")
    op.execute("DROP TABLE storekeeper.archives")
