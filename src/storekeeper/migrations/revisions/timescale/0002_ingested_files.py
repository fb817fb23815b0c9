"""The files that were ingested, of hypertables."""

from __future__ import annotations

from alembic import op

revision = "storekeeper_0002"
down_revision = "storekeeper_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE storekeeper.ingested_series_files (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            dataset TEXT NOT NULL,
            file TEXT NOT NULL,
            digest CHAR(64) NOT NULL,
            packed_digest CHAR(64),
            rows BIGINT NOT NULL,
            rejected BIGINT NOT NULL,
            ingested_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX idx_ingested_series_files_digest ON storekeeper.ingested_series_files (dataset, digest)")
    op.execute("""
        CREATE INDEX idx_ingested_series_files_packed_digest
        ON storekeeper.ingested_series_files (dataset, packed_digest)
    """)


def downgrade() -> None:
    op.execute("DROP TABLE storekeeper.ingested_series_files")
