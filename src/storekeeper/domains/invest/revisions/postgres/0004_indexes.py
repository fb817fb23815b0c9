"""The indexes of histories, positions, activities, pending alerts and tokens, made while others write."""

from __future__ import annotations

from storekeeper.migrations.operations import create_index_concurrently, drop_index_concurrently

revision = "invest_0004"
down_revision = "invest_0003"
branch_labels = None
depends_on = None
online = True


def upgrade() -> None:
    create_index_concurrently(
        "idx_users_reset_token",
        "invest.users",
        ["password_reset_token"],
        where="password_reset_token IS NOT NULL",
    )
    create_index_concurrently(
        "idx_users_verification_token",
        "invest.users",
        ["email_verification_token"],
        where="email_verification_token IS NOT NULL",
    )
    create_index_concurrently(
        "idx_transactions_portfolio_date", "invest.transactions", ["portfolio_id", "transaction_date", "id"]
    )
    create_index_concurrently(
        "idx_transactions_position", "invest.transactions", ["portfolio_id", "symbol", "transaction_date", "id"]
    )
    create_index_concurrently(
        "idx_activity_log_user_created", "invest.user_activity_log", ["user_id", "created_at", "id"]
    )
    create_index_concurrently(
        "idx_price_alerts_pending",
        "invest.price_alerts",
        ["symbol", "id"],
        where="is_active AND triggered_at IS NULL",
    )


def downgrade() -> None:
    drop_index_concurrently("idx_price_alerts_pending", "invest.price_alerts")
    drop_index_concurrently("idx_activity_log_user_created", "invest.user_activity_log")
    drop_index_concurrently("idx_transactions_position", "invest.transactions")
    drop_index_concurrently("idx_transactions_portfolio_date", "invest.transactions")
    drop_index_concurrently("idx_users_verification_token", "invest.users")
    drop_index_concurrently("idx_users_reset_token", "invest.users")
