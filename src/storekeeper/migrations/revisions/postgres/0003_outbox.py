"""The outbox: what other stores must see of changes here, in the transaction that made them."""

from __future__ import annotations

from alembic import op

revision = "storekeeper_0003"
down_revision = "storekeeper_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # every row is written twice and then deleted: dead ones go early
    op.execute("""
        CREATE TABLE storekeeper.outbox (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            effect TEXT NOT NULL,
            key TEXT NOT NULL,
            payload JSONB NOT NULL,
            recorded_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            delivered_at TIMESTAMPTZ,
            attempts INTEGER NOT NULL DEFAULT 0,
            last_error TEXT,
            next_attempt_at TIMESTAMPTZ
        ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """)
    op.execute("CREATE INDEX idx_outbox_undelivered ON storekeeper.outbox (key, id) WHERE delivered_at IS NULL")
    op.execute("CREATE INDEX idx_outbox_delivered ON storekeeper.outbox (delivered_at) WHERE delivered_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE storekeeper.outbox")
