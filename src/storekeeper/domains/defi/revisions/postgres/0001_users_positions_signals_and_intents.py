"""Users, their positions, what is seen on the markets, who is told of it, and what users want done by themselves."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_schema, create_updated_at_trigger, drop_schema_if_empty

revision = "defi_0001"
down_revision = None
branch_labels = ("defi",)
depends_on = None


def upgrade() -> None:
    create_schema("defi")
    op.execute("""
        CREATE TABLE defi.users (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            wallet_address VARCHAR(42) NOT NULL UNIQUE,
            preferences JSONB NOT NULL DEFAULT '{}',
            telegram_chat_id TEXT,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)

    op.execute("""
        CREATE TABLE defi.positions (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES defi.users (id) ON DELETE CASCADE,
            wallet_address VARCHAR(42) NOT NULL,
            protocol VARCHAR(50) NOT NULL,
            chain_id INTEGER NOT NULL DEFAULT 1,
            health_factor NUMERIC(18,8),
            collateral JSONB NOT NULL DEFAULT '[]',
            debt JSONB NOT NULL DEFAULT '[]',
            metadata JSONB NOT NULL DEFAULT '{}',
            snapshot_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_positions_user_snapshot ON defi.positions (user_id, snapshot_at DESC)")
    op.execute("CREATE INDEX ix_positions_wallet_protocol ON defi.positions (wallet_address, protocol)")

    op.execute("""
        CREATE TABLE defi.signals (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            type VARCHAR(50) NOT NULL,
            asset VARCHAR(50) NOT NULL,
            severity VARCHAR(20) NOT NULL CHECK (severity IN ('low','medium','high','critical')),
            data JSONB NOT NULL DEFAULT '{}',
            detected_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            expires_at TIMESTAMPTZ,
            status VARCHAR(20) NOT NULL DEFAULT 'active' CHECK (status IN ('active','expired','acknowledged')),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_signals_type_detected ON defi.signals (type, detected_at DESC)")
    op.execute("CREATE INDEX ix_signals_asset_status ON defi.signals (asset, status)")
    op.execute("CREATE INDEX ix_signals_status_detected ON defi.signals (status, detected_at DESC)")

    op.execute("""
        CREATE TABLE defi.alerts (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES defi.users (id) ON DELETE CASCADE,
            signal_id UUID REFERENCES defi.signals (id) ON DELETE SET NULL,
            type VARCHAR(50) NOT NULL,
            channel VARCHAR(20) NOT NULL CHECK (channel IN ('telegram','email','in_app')),
            message TEXT NOT NULL,
            metadata JSONB NOT NULL DEFAULT '{}',
            sent_at TIMESTAMPTZ,
            acknowledged_at TIMESTAMPTZ,
            status VARCHAR(20) NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending','sent','failed','acknowledged')),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_alerts_user_status_created ON defi.alerts (user_id, status, created_at DESC)")
    op.execute("CREATE INDEX ix_alerts_status_created ON defi.alerts (status, created_at DESC)")
    op.execute("CREATE INDEX ix_alerts_signal ON defi.alerts (signal_id)")

    op.execute("""
        CREATE TABLE defi.intents (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES defi.users (id) ON DELETE CASCADE,
            condition JSONB NOT NULL,
            action JSONB NOT NULL,
            status VARCHAR(20) NOT NULL DEFAULT 'active'
                CHECK (status IN ('active','triggered','executed','cancelled','failed','expired')),
            triggered_at TIMESTAMPTZ,
            executed_at TIMESTAMPTZ,
            expires_at TIMESTAMPTZ,
            metadata JSONB NOT NULL DEFAULT '{}',
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_intents_user_status ON defi.intents (user_id, status)")

    for table in ("users", "positions", "intents"):
        create_updated_at_trigger(f"defi.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE defi.intents")
    op.execute("DROP TABLE defi.alerts")
    op.execute("DROP TABLE defi.signals")
    op.execute("DROP TABLE defi.positions")
    op.execute("DROP TABLE defi.users")
    drop_schema_if_empty("defi")
