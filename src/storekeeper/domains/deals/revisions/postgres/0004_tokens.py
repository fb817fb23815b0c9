"""The token economy: balances, the ledger by month with its history, prices, packages, redemption codes."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_updated_at_trigger

revision = "deals_0004"
down_revision = "deals_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE deals.user_token_balances (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL UNIQUE REFERENCES deals.users (id) ON DELETE CASCADE,
            balance NUMERIC(18,8) NOT NULL DEFAULT 0,
            lifetime_earned NUMERIC(18,8) NOT NULL DEFAULT 0,
            lifetime_spent NUMERIC(18,8) NOT NULL DEFAULT 0,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT positive_balance CHECK (balance >= 0)
        )
    """)

    op.execute("""
        CREATE TABLE deals.token_transactions (
            id UUID NOT NULL DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            type VARCHAR(50) NOT NULL
                CHECK (type IN ('purchase','ai_usage','signup_bonus','referral_bonus','admin_adjustment',
                     'redemption_code','refund','expiration','deduction','reward')),
            amount NUMERIC(18,8) NOT NULL,
            balance_after NUMERIC(18,8),
            status VARCHAR(50) NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending','completed','failed','cancelled')),
            description TEXT,
            goal_id UUID REFERENCES deals.goals (id) ON DELETE SET NULL,
            reference_id UUID,
            tx_hash VARCHAR(66),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}',
            PRIMARY KEY (id, created_at),
            CONSTRAINT valid_amount CHECK (amount <> 0),
            CONSTRAINT completed_has_balance CHECK (status <> 'completed' OR balance_after IS NOT NULL)
        ) PARTITION BY RANGE (created_at)
    """)
    op.execute("CREATE INDEX ix_token_transactions_user ON deals.token_transactions (user_id)")
    op.execute(
        "CREATE INDEX ix_token_transactions_latest ON deals.token_transactions (user_id, created_at DESC, id DESC)"
    )
    op.execute("CREATE INDEX ix_token_transactions_type ON deals.token_transactions (type)")
    op.execute("CREATE INDEX ix_token_transactions_status ON deals.token_transactions (status)")
    op.execute("CREATE INDEX ix_token_transactions_hash ON deals.token_transactions (tx_hash)")
    op.execute("CREATE INDEX ix_token_transactions_created_at ON deals.token_transactions (created_at)")
    op.execute("CREATE INDEX ix_token_transactions_reference ON deals.token_transactions (reference_id)")
    op.execute("CREATE INDEX ix_token_transactions_goal ON deals.token_transactions (goal_id)")

    op.execute("""
        CREATE TABLE deals.token_balance_history (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            balance_before NUMERIC(18,8) NOT NULL,
            balance_after NUMERIC(18,8) NOT NULL,
            change_amount NUMERIC(18,8) NOT NULL,
            change_type VARCHAR(50) NOT NULL
                CHECK (change_type IN ('purchase','ai_usage','signup_bonus','referral_bonus','admin_adjustment',
                     'redemption_code','refund','expiration','deduction','reward')),
            transaction_id UUID,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_token_balance_history_user ON deals.token_balance_history (user_id)")
    op.execute("CREATE INDEX ix_token_balance_history_type ON deals.token_balance_history (change_type)")
    op.execute("CREATE INDEX ix_token_balance_history_transaction ON deals.token_balance_history (transaction_id)")

    op.execute("""
        CREATE TABLE deals.token_pricing (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            service_type VARCHAR(50) NOT NULL,
            token_cost NUMERIC(18,8) NOT NULL,
            min_tokens INTEGER NOT NULL DEFAULT 1,
            max_tokens INTEGER,
            valid_from TIMESTAMPTZ NOT NULL DEFAULT now(),
            valid_to TIMESTAMPTZ,
            is_active BOOLEAN NOT NULL DEFAULT true,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_token_pricing_service ON deals.token_pricing (service_type)")
    op.execute("CREATE INDEX ix_token_pricing_active ON deals.token_pricing (is_active)")
    op.execute("CREATE INDEX ix_token_pricing_validity ON deals.token_pricing (valid_from, valid_to)")

    op.execute("""
        CREATE TABLE deals.token_packages (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(100) NOT NULL,
            token_amount INTEGER NOT NULL,
            price_usd NUMERIC(10,2) NOT NULL,
            is_active BOOLEAN NOT NULL DEFAULT true,
            description TEXT,
            discount_percentage INTEGER DEFAULT 0,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT positive_token_amount CHECK (token_amount > 0),
            CONSTRAINT positive_price CHECK (price_usd > 0)
        )
    """)
    op.execute("CREATE INDEX ix_token_packages_active ON deals.token_packages (is_active)")

    op.execute("""
        CREATE TABLE deals.token_redemption_codes (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            code VARCHAR(50) NOT NULL UNIQUE,
            token_amount INTEGER NOT NULL,
            max_redemptions INTEGER NOT NULL DEFAULT 1,
            redemptions_count INTEGER NOT NULL DEFAULT 0,
            expires_at TIMESTAMPTZ,
            is_active BOOLEAN NOT NULL DEFAULT true,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            created_by UUID REFERENCES deals.users (id) ON DELETE SET NULL,
            CONSTRAINT positive_token_amount CHECK (token_amount > 0),
            CONSTRAINT valid_max_redemptions CHECK (max_redemptions > 0)
        )
    """)
    op.execute("CREATE INDEX ix_redemption_codes_active ON deals.token_redemption_codes (is_active)")
    op.execute("CREATE INDEX ix_redemption_codes_expires ON deals.token_redemption_codes (expires_at)")
    op.execute("CREATE INDEX ix_redemption_codes_created_by ON deals.token_redemption_codes (created_by)")

    for table in ("user_token_balances", "token_transactions", "token_pricing", "token_packages"):
        create_updated_at_trigger(f"deals.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE deals.token_redemption_codes")
    op.execute("DROP TABLE deals.token_packages")
    op.execute("DROP TABLE deals.token_pricing")
    op.execute("DROP TABLE deals.token_balance_history")
    op.execute("DROP TABLE deals.token_transactions")
    op.execute("DROP TABLE deals.user_token_balances")
