"""Users, their sessions, their portfolios, and what these hold."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_schema, create_updated_at_trigger, drop_schema_if_empty

revision = "invest_0001"
down_revision = None
branch_labels = ("invest",)
depends_on = None


def upgrade() -> None:
    create_schema("invest")
    op.execute(r"""
        CREATE TABLE invest.users (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            email VARCHAR(255) NOT NULL UNIQUE,
            password_hash VARCHAR(255) NOT NULL,
            first_name VARCHAR(100) NOT NULL,
            last_name VARCHAR(100) NOT NULL,
            phone TEXT,
            avatar_url TEXT,
            email_verified BOOLEAN NOT NULL DEFAULT false,
            email_verification_token VARCHAR(255),
            password_reset_token VARCHAR(255),
            password_reset_expires TIMESTAMPTZ,
            last_login TIMESTAMPTZ,
            subscription_tier VARCHAR(20) NOT NULL DEFAULT 'free',
            subscription_expires TIMESTAMPTZ,
            preferences JSONB NOT NULL DEFAULT '{}',
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            deleted_at TIMESTAMPTZ,
            CONSTRAINT check_email_format CHECK (email ~* '^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$')
        )
    """)
    op.execute("CREATE INDEX idx_users_subscription ON invest.users (subscription_tier)")
    op.execute("CREATE INDEX idx_users_created_at ON invest.users (created_at)")
    op.execute("CREATE UNIQUE INDEX uq_users_email_lower ON invest.users (lower(email)) WHERE deleted_at IS NULL")

    op.execute("""
        CREATE TABLE invest.sessions (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES invest.users (id) ON DELETE CASCADE,
            refresh_token VARCHAR(500) NOT NULL,
            device_info JSONB,
            ip_address VARCHAR(45),
            user_agent TEXT,
            expires_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT check_expires_future CHECK (expires_at > created_at)
        )
    """)
    op.execute("CREATE INDEX idx_sessions_user_id ON invest.sessions (user_id)")
    op.execute("CREATE INDEX idx_sessions_token ON invest.sessions (refresh_token)")
    op.execute("CREATE INDEX idx_sessions_expires ON invest.sessions (expires_at)")

    op.execute("""
        CREATE TABLE invest.portfolios (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES invest.users (id) ON DELETE CASCADE,
            name VARCHAR(100) NOT NULL DEFAULT 'Main Portfolio',
            description TEXT,
            is_default BOOLEAN NOT NULL DEFAULT true,
            currency VARCHAR(3) NOT NULL DEFAULT 'USD',
            initial_value NUMERIC(15,2) NOT NULL DEFAULT 0.00,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT check_initial_value CHECK (initial_value >= 0)
        )
    """)
    op.execute("CREATE INDEX idx_portfolios_user_id ON invest.portfolios (user_id)")
    op.execute(
        "CREATE UNIQUE INDEX idx_portfolios_user_default ON invest.portfolios (user_id, is_default) WHERE is_default"
    )

    op.execute("""
        CREATE TABLE invest.portfolio_assets (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            portfolio_id UUID NOT NULL REFERENCES invest.portfolios (id) ON DELETE CASCADE,
            symbol VARCHAR(32) NOT NULL,
            name VARCHAR(255) NOT NULL,
            asset_type VARCHAR(20) NOT NULL DEFAULT 'stock',
            shares NUMERIC(15,6) NOT NULL,
            avg_purchase_price NUMERIC(18,6) NOT NULL,
            current_price NUMERIC(18,6),
            total_cost NUMERIC(15,2) GENERATED ALWAYS AS (shares * avg_purchase_price) STORED,
            current_value NUMERIC(15,2),
            unrealized_gain NUMERIC(15,2),
            unrealized_gain_percent NUMERIC(7,4),
            last_price_update TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT check_shares_positive CHECK (shares > 0),
            CONSTRAINT check_avg_price_positive CHECK (avg_purchase_price > 0),
            CONSTRAINT unique_portfolio_symbol UNIQUE (portfolio_id, symbol)
        )
    """)
    op.execute("CREATE INDEX idx_portfolio_assets_symbol ON invest.portfolio_assets (symbol)")

    for table in ("users", "portfolios", "portfolio_assets"):
        create_updated_at_trigger(f"invest.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE invest.portfolio_assets")
    op.execute("DROP TABLE invest.portfolios")
    op.execute("DROP TABLE invest.sessions")
    op.execute("DROP TABLE invest.users")
    drop_schema_if_empty("invest")
