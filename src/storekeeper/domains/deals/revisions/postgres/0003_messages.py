"""Chats with the assistant, notifications, and when users want them."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_updated_at_trigger

revision = "deals_0003"
down_revision = "deals_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE deals.chat_messages (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            goal_id UUID REFERENCES deals.goals (id) ON DELETE SET NULL,
            role VARCHAR(50) NOT NULL CHECK (role IN ('user','assistant','system')),
            content TEXT NOT NULL,
            tokens_used INTEGER NOT NULL DEFAULT 0,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_chat_messages_user ON deals.chat_messages (user_id)")
    op.execute("CREATE INDEX ix_chat_messages_latest ON deals.chat_messages (user_id, created_at DESC, id DESC)")
    op.execute("CREATE INDEX ix_chat_messages_goal ON deals.chat_messages (goal_id)")
    op.execute("CREATE INDEX ix_chat_messages_role ON deals.chat_messages (role)")

    op.execute("""
        CREATE TABLE deals.notifications (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES deals.users (id) ON DELETE CASCADE,
            type VARCHAR(50) NOT NULL
                CHECK (type IN ('system','deal','goal','price_alert','token','security','market')),
            priority VARCHAR(50) NOT NULL DEFAULT 'medium' CHECK (priority IN ('critical','high','medium','low')),
            status VARCHAR(50) NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending','sent','delivered','read','failed')),
            title VARCHAR(255) NOT NULL,
            message TEXT NOT NULL,
            goal_id UUID REFERENCES deals.goals (id) ON DELETE SET NULL,
            deal_id UUID REFERENCES deals.deals (id) ON DELETE SET NULL,
            action_url TEXT,
            channels JSONB NOT NULL DEFAULT '["in_app"]',
            sent_at TIMESTAMPTZ,
            delivered_at TIMESTAMPTZ,
            read_at TIMESTAMPTZ,
            is_read BOOLEAN GENERATED ALWAYS AS (read_at IS NOT NULL) STORED,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            meta_data JSONB NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("CREATE INDEX ix_notifications_user_status ON deals.notifications (user_id, status)")
    op.execute("CREATE INDEX ix_notifications_type ON deals.notifications (type)")
    op.execute("CREATE INDEX ix_notifications_priority ON deals.notifications (priority)")
    op.execute("CREATE INDEX ix_notifications_created_at ON deals.notifications (created_at)")
    op.execute("CREATE INDEX ix_notifications_is_read ON deals.notifications (is_read)")
    op.execute(
        "CREATE INDEX ix_notifications_unread ON deals.notifications (user_id, created_at DESC) WHERE read_at IS NULL"
    )
    op.execute("CREATE INDEX ix_notifications_goal ON deals.notifications (goal_id)")
    op.execute("CREATE INDEX ix_notifications_deal ON deals.notifications (deal_id)")

    op.execute("""
        CREATE TABLE deals.notification_settings (
            user_id UUID PRIMARY KEY REFERENCES deals.users (id) ON DELETE CASCADE,
            email_deal_alerts BOOLEAN NOT NULL DEFAULT true,
            email_price_drops BOOLEAN NOT NULL DEFAULT true,
            email_goal_updates BOOLEAN NOT NULL DEFAULT true,
            push_deal_alerts BOOLEAN NOT NULL DEFAULT true,
            push_price_drops BOOLEAN NOT NULL DEFAULT true,
            push_goal_updates BOOLEAN NOT NULL DEFAULT true,
            quiet_hours_start TIME,
            quiet_hours_end TIME,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)

    for table in ("notifications", "notification_settings"):
        create_updated_at_trigger(f"deals.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE deals.notification_settings")
    op.execute("DROP TABLE deals.notifications")
    op.execute("DROP TABLE deals.chat_messages")
