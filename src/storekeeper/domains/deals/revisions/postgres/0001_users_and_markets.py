"""Users, their preferences and tokens, and what deals refer to: markets, categories, sources."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_schema, create_updated_at_trigger, drop_schema_if_empty

revision = "deals_0001"
down_revision = None
branch_labels = ("deals",)
depends_on = None


def upgrade() -> None:
    create_schema("deals")
    op.execute("""
        CREATE TABLE deals.users (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            email VARCHAR(255) NOT NULL UNIQUE,
            hashed_password VARCHAR(255) NOT NULL,
            name VARCHAR(255),
            role VARCHAR(50) NOT NULL DEFAULT 'user' CHECK (role IN ('user','admin','moderator')),
            status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','inactive','suspended','deleted')),
            is_active BOOLEAN GENERATED ALWAYS AS (status = 'active') STORED,
            email_verified BOOLEAN NOT NULL DEFAULT false,
            verification_token VARCHAR(255),
            sol_address VARCHAR(44) UNIQUE,
            referral_code VARCHAR(10) UNIQUE,
            referred_by UUID REFERENCES deals.users (id) ON DELETE SET NULL,
            preferences JSONB NOT NULL DEFAULT '{}',
            notification_channels JSONB NOT NULL DEFAULT '["in_app"]',
            social_provider VARCHAR(50),
            social_id VARCHAR(255),
            last_payment_at TIMESTAMPTZ,
            last_login_at TIMESTAMPTZ,
            active_goals_count INTEGER NOT NULL DEFAULT 0,
            total_deals_found INTEGER NOT NULL DEFAULT 0,
            success_rate NUMERIC(5,4) NOT NULL DEFAULT 0,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_users_email_status ON deals.users (email, status)")
    op.execute("CREATE INDEX ix_users_role ON deals.users (role)")
    op.execute("CREATE INDEX ix_users_referred_by ON deals.users (referred_by)")
    op.execute("CREATE UNIQUE INDEX uq_users_email_lower ON deals.users (lower(email))")

    op.execute("""
        CREATE TABLE deals.user_preferences (
            user_id UUID PRIMARY KEY REFERENCES deals.users (id) ON DELETE CASCADE,
            notification_email BOOLEAN NOT NULL DEFAULT true,
            notification_push BOOLEAN NOT NULL DEFAULT true,
            theme VARCHAR(50) DEFAULT 'light',
            deal_categories JSONB,
            preferred_markets JSONB,
            min_discount_percentage INTEGER,
            max_price NUMERIC(10,2),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)

    op.execute("""
        CREATE TABLE deals.auth_tokens (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            token TEXT NOT NULL,
            token_type VARCHAR(50) NOT NULL CHECK (token_type IN ('access','refresh','reset')),
            status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','expired','revoked')),
            scope VARCHAR(50) NOT NULL DEFAULT 'full' CHECK (scope IN ('full','limited','read')),
            expires_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_auth_tokens_user ON deals.auth_tokens (user_id)")
    op.execute("CREATE INDEX ix_auth_tokens_token ON deals.auth_tokens (token)")
    op.execute("CREATE INDEX ix_auth_tokens_status ON deals.auth_tokens (status)")

    op.execute("""
        CREATE TABLE deals.markets (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(255) NOT NULL UNIQUE,
            type VARCHAR(50) NOT NULL CHECK (type IN ('amazon','walmart','ebay','target','bestbuy')),
            status VARCHAR(50) NOT NULL DEFAULT 'active'
                CHECK (status IN ('active','inactive','maintenance','rate_limited','error','deprecated')),
            base_url TEXT NOT NULL,
            logo_url TEXT,
            api_endpoint TEXT,
            api_key TEXT,
            rate_limit INTEGER,
            rate_limit_window INTEGER,
            current_rate INTEGER NOT NULL DEFAULT 0,
            last_rate_reset TIMESTAMPTZ,
            error_count INTEGER NOT NULL DEFAULT 0,
            last_error_at TIMESTAMPTZ,
            last_error TEXT,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_markets_type_status ON deals.markets (type, status)")
    op.execute("CREATE INDEX ix_markets_status ON deals.markets (status)")

    op.execute("""
        CREATE TABLE deals.categories (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(100) NOT NULL,
            parent_id UUID REFERENCES deals.categories (id),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT unique_name_per_parent UNIQUE (name, parent_id)
        )
    """)
    op.execute("CREATE INDEX ix_categories_parent ON deals.categories (parent_id)")

    op.execute("""
        CREATE TABLE deals.sources (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(100) NOT NULL UNIQUE,
            type VARCHAR(50) NOT NULL CHECK (type IN ('api','scraper','affiliate','user_submitted')),
            configuration JSONB,
            status VARCHAR(50) NOT NULL DEFAULT 'active',
            reliability_score NUMERIC(3,2) NOT NULL DEFAULT 1.0,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT valid_reliability_score CHECK (reliability_score >= 0 AND reliability_score <= 1)
        )
    """)
    op.execute("CREATE INDEX ix_sources_type ON deals.sources (type)")
    op.execute("CREATE INDEX ix_sources_status ON deals.sources (status)")

    for table in ("users", "user_preferences", "auth_tokens", "markets", "categories", "sources"):
        create_updated_at_trigger(f"deals.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE deals.sources")
    op.execute("DROP TABLE deals.categories")
    op.execute("DROP TABLE deals.markets")
    op.execute("DROP TABLE deals.auth_tokens")
    op.execute("DROP TABLE deals.user_preferences")
    op.execute("DROP TABLE deals.users")
    drop_schema_if_empty("deals")
