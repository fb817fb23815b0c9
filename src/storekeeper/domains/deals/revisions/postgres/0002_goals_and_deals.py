"""What users look for, what there is to buy, and what became of it: matched, saved, shared, clicked."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_updated_at_trigger

revision = "deals_0002"
down_revision = "deals_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE deals.goals (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            title VARCHAR(255) NOT NULL,
            description TEXT,
            category VARCHAR(50) NOT NULL
                CHECK (category IN ('electronics','fashion','home','books','toys','sports','automotive',
                    'health','beauty','grocery','other')),
            constraints JSONB NOT NULL DEFAULT '{}',
            status VARCHAR(50) NOT NULL DEFAULT 'active'
                CHECK (status IN ('active','paused','completed','cancelled','failed','expired','error')),
            priority VARCHAR(50) NOT NULL DEFAULT 'medium' CHECK (priority IN ('high','medium','low')),
            priority_rank INTEGER NOT NULL DEFAULT 5,
            progress_metrics JSONB,
            start_date TIMESTAMPTZ NOT NULL DEFAULT now(),
            end_date TIMESTAMPTZ,
            completion_date TIMESTAMPTZ,
            max_budget NUMERIC(10,2),
            min_discount_percent NUMERIC(5,2),
            target_price NUMERIC(10,2),
            notification_threshold NUMERIC(5,2),
            auto_buy_threshold NUMERIC(5,2),
            max_matches INTEGER,
            max_tokens NUMERIC(18,8),
            total_tokens_spent NUMERIC(18,8) NOT NULL DEFAULT 0,
            total_matches_found INTEGER NOT NULL DEFAULT 0,
            last_checked_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_goals_user_status ON deals.goals (user_id, status)")
    op.execute("CREATE INDEX ix_goals_status ON deals.goals (status)")
    op.execute("CREATE INDEX ix_goals_category ON deals.goals (category)")
    op.execute("CREATE INDEX ix_goals_priority ON deals.goals (priority)")
    op.execute("CREATE INDEX ix_goals_priority_rank ON deals.goals (priority_rank)")

    op.execute("""
        CREATE TABLE deals.deals (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            market_id UUID NOT NULL REFERENCES deals.markets (id) ON DELETE CASCADE,
            category_id UUID REFERENCES deals.categories (id),
            source_id UUID REFERENCES deals.sources (id),
            title VARCHAR(255) NOT NULL,
            description TEXT,
            url TEXT NOT NULL,
            image_url TEXT,
            current_price NUMERIC(10,2) NOT NULL,
            original_price NUMERIC(10,2),
            currency VARCHAR(3) NOT NULL DEFAULT 'USD',
            discount_percent NUMERIC(5,2),
            category VARCHAR(50) NOT NULL
                CHECK (category IN ('electronics','fashion','home','books','toys','sports','automotive',
                    'health','beauty','grocery','other')),
            source VARCHAR(50) NOT NULL
                CHECK (source IN ('amazon','walmart','ebay','target','bestbuy','manual','api','scraper','user',
                    'agent')),
            status VARCHAR(50) NOT NULL DEFAULT 'active'
                CHECK (status IN ('pending','active','expired','sold_out','invalid','removed','deleted')),
            seller_name VARCHAR(255),
            seller_rating NUMERIC(3,2),
            availability_status VARCHAR(50),
            shipping_info JSONB,
            product_specs JSONB,
            ai_analysis JSONB,
            found_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            expires_at TIMESTAMPTZ,
            last_checked_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}',
            CONSTRAINT positive_prices CHECK (current_price > 0 AND (original_price IS NULL OR original_price > 0)),
            CONSTRAINT valid_discount
                CHECK (discount_percent IS NULL OR (discount_percent >= 0 AND discount_percent <= 100))
        )
    """)
    op.execute("CREATE INDEX ix_deals_market_status ON deals.deals (market_id, status)")
    op.execute("CREATE INDEX ix_deals_category ON deals.deals (category)")
    op.execute("CREATE INDEX ix_deals_category_id ON deals.deals (category_id)")
    op.execute("CREATE INDEX ix_deals_source ON deals.deals (source)")
    op.execute("CREATE INDEX ix_deals_source_id ON deals.deals (source_id)")
    op.execute("CREATE INDEX ix_deals_url ON deals.deals (url)")
    op.execute("CREATE INDEX ix_deals_status ON deals.deals (status)")
    op.execute("CREATE INDEX ix_deals_created_at ON deals.deals (created_at)")
    op.execute("CREATE INDEX ix_deals_expires_at ON deals.deals (expires_at)")
    op.execute("CREATE INDEX ix_deals_discount_percent ON deals.deals (discount_percent)")
    op.execute("CREATE INDEX ix_deals_current_price ON deals.deals (current_price)")
    op.execute("CREATE INDEX ix_deals_active_price ON deals.deals (category, current_price) WHERE status = 'active'")

    op.execute("""
        CREATE TABLE deals.goal_deals (
            goal_id UUID NOT NULL REFERENCES deals.goals (id) ON DELETE CASCADE,
            deal_id UUID NOT NULL REFERENCES deals.deals (id) ON DELETE CASCADE,
            relevance_score NUMERIC(5,2) NOT NULL,
            matched_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            status VARCHAR(50) NOT NULL DEFAULT 'active',
            PRIMARY KEY (goal_id, deal_id)
        )
    """)
    op.execute("CREATE INDEX ix_goal_deals_deal ON deals.goal_deals (deal_id)")
    op.execute("CREATE INDEX ix_goal_deals_relevance ON deals.goal_deals (relevance_score)")

    op.execute("""
        CREATE TABLE deals.saved_deals (
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            deal_id UUID NOT NULL REFERENCES deals.deals (id) ON DELETE CASCADE,
            saved_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            notes TEXT,
            PRIMARY KEY (user_id, deal_id)
        )
    """)
    op.execute("CREATE INDEX ix_saved_deals_deal ON deals.saved_deals (deal_id)")
    op.execute("CREATE INDEX ix_saved_deals_saved_at ON deals.saved_deals (saved_at)")

    op.execute("""
        CREATE TABLE deals.shared_deals (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            deal_id UUID NOT NULL REFERENCES deals.deals (id) ON DELETE CASCADE,
            share_type VARCHAR(50) NOT NULL CHECK (share_type IN ('email','link','social')),
            recipients JSONB,
            message TEXT,
            public_link_id VARCHAR(100) UNIQUE,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            expires_at TIMESTAMPTZ,
            is_active BOOLEAN NOT NULL DEFAULT true,
            click_count INTEGER NOT NULL DEFAULT 0
        )
    """)
    op.execute("CREATE INDEX ix_shared_deals_user ON deals.shared_deals (user_id)")
    op.execute("CREATE INDEX ix_shared_deals_deal ON deals.shared_deals (deal_id)")
    op.execute("CREATE INDEX ix_shared_deals_created_at ON deals.shared_deals (created_at)")

    op.execute("""
        CREATE TABLE deals.social_interactions (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            deal_id UUID NOT NULL REFERENCES deals.deals (id) ON DELETE CASCADE,
            interaction_type VARCHAR(50) NOT NULL
                CHECK (interaction_type IN ('view','save','share','click','purchase')),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB
        )
    """)
    op.execute("CREATE INDEX ix_social_interactions_user ON deals.social_interactions (user_id)")
    op.execute("CREATE INDEX ix_social_interactions_deal ON deals.social_interactions (deal_id)")
    op.execute("CREATE INDEX ix_social_interactions_type ON deals.social_interactions (interaction_type)")
    op.execute("CREATE INDEX ix_social_interactions_created_at ON deals.social_interactions (created_at)")

    for table in ("goals", "deals"):
        create_updated_at_trigger(f"deals.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE deals.social_interactions")
    op.execute("DROP TABLE deals.shared_deals")
    op.execute("DROP TABLE deals.saved_deals")
    op.execute("DROP TABLE deals.goal_deals")
    op.execute("DROP TABLE deals.deals")
    op.execute("DROP TABLE deals.goals")
