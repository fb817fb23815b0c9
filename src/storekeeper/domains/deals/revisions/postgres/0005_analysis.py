"""Requests for an analysis, the models that answer them, and their prompts."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_updated_at_trigger

revision = "deals_0005"
down_revision = "deals_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE deals.ai_analysis_requests (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            deal_id UUID REFERENCES deals.deals (id) ON DELETE SET NULL,
            url TEXT,
            product_name TEXT,
            status VARCHAR(50) NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending','processing','completed','failed')),
            requested_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            completed_at TIMESTAMPTZ,
            tokens_charged INTEGER,
            model_used VARCHAR(100),
            result JSONB,
            error_message TEXT
        )
    """)
    op.execute("CREATE INDEX ix_ai_requests_user ON deals.ai_analysis_requests (user_id)")
    op.execute("CREATE INDEX ix_ai_requests_deal ON deals.ai_analysis_requests (deal_id)")
    op.execute("CREATE INDEX ix_ai_requests_status ON deals.ai_analysis_requests (status)")
    op.execute("CREATE INDEX ix_ai_requests_requested_at ON deals.ai_analysis_requests (requested_at)")

    op.execute("""
        CREATE TABLE deals.ai_models (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(100) NOT NULL UNIQUE,
            provider VARCHAR(100) NOT NULL,
            version VARCHAR(100) NOT NULL,
            is_active BOOLEAN NOT NULL DEFAULT true,
            is_fallback BOOLEAN NOT NULL DEFAULT false,
            token_cost_per_1k NUMERIC(10,6) NOT NULL,
            max_tokens INTEGER NOT NULL,
            capabilities JSONB,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_ai_models_active ON deals.ai_models (is_active)")
    op.execute("CREATE INDEX ix_ai_models_provider ON deals.ai_models (provider)")

    op.execute("""
        CREATE TABLE deals.ai_prompt_templates (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(100) NOT NULL UNIQUE,
            template_text TEXT NOT NULL,
            description TEXT,
            version VARCHAR(50) NOT NULL,
            is_active BOOLEAN NOT NULL DEFAULT true,
            usage_type VARCHAR(100) NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_prompt_templates_active ON deals.ai_prompt_templates (is_active)")
    op.execute("CREATE INDEX ix_prompt_templates_usage_type ON deals.ai_prompt_templates (usage_type)")

    for table in ("ai_models", "ai_prompt_templates"):
        create_updated_at_trigger(f"deals.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE deals.ai_prompt_templates")
    op.execute("DROP TABLE deals.ai_models")
    op.execute("DROP TABLE deals.ai_analysis_requests")
