"""Transactions that are kept for seven years, watchlists, alerts, insights, activity, and what portfolios are worth."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_updated_at_trigger, execute_verbatim

revision = "invest_0002"
down_revision = "invest_0001"
branch_labels = None
depends_on = None

# Seven calendar years of UTC, so that the session's time zone does not matter. Moving a row into another year's
# partition is a DELETE and an INSERT to the server: it calls the trigger for both events.
KEEP_SEVEN_YEARS = """
CREATE FUNCTION invest.keep_transactions() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    kept_since CONSTANT timestamptz := (now() AT TIME ZONE 'UTC' - interval '7 years') AT TIME ZONE 'UTC';
BEGIN
    IF OLD.transaction_date > kept_since AND (tg_op = 'DELETE' OR NEW.transaction_date <= kept_since) THEN
        RAISE EXCEPTION 'a transaction of % is kept until %',
            to_char(OLD.transaction_date AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
            to_char(OLD.transaction_date AT TIME ZONE 'UTC' + interval '7 years', 'YYYY-MM-DD')
        USING ERRCODE = 'SK003', SCHEMA = 'invest', TABLE = 'transactions', COLUMN = 'transaction_date',
            HINT = 'transactions stay for seven years; neither can their date move to another year: '
                || 'correct one by a further transaction';
    END IF;
    RETURN CASE tg_op WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$body$
"""

REFUSE_TO_DROP_THEM = """
DO $block$
BEGIN
    LOCK TABLE invest.transactions IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM invest.transactions
        WHERE transaction_date > (now() AT TIME ZONE 'UTC' - interval '7 years') AT TIME ZONE 'UTC'
    ) THEN
        RAISE EXCEPTION 'there are transactions younger than seven years'
        USING ERRCODE = 'SK003', SCHEMA = 'invest', TABLE = 'transactions',
            HINT = 'their table stays for as long as they are kept; nothing was rolled back';
    END IF;
END
$block$
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE invest.transactions (
            id UUID NOT NULL DEFAULT gen_random_uuid(),
            portfolio_id UUID NOT NULL REFERENCES invest.portfolios (id) ON DELETE RESTRICT,
            symbol VARCHAR(32) NOT NULL,
            transaction_type VARCHAR(10) NOT NULL,
            shares NUMERIC(15,6) NOT NULL,
            price NUMERIC(18,6) NOT NULL,
            total_amount NUMERIC(15,2) GENERATED ALWAYS AS (shares * price) STORED,
            fees NUMERIC(10,2) NOT NULL DEFAULT 0.00,
            transaction_date TIMESTAMPTZ NOT NULL,
            notes TEXT,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            PRIMARY KEY (id, transaction_date),
            CONSTRAINT check_transaction_type CHECK (transaction_type IN ('buy','sell','dividend')),
            CONSTRAINT check_shares_positive CHECK (shares > 0),
            CONSTRAINT check_price_positive CHECK (price > 0),
            CONSTRAINT check_fees_non_negative CHECK (fees >= 0)
        ) PARTITION BY RANGE (transaction_date)
    """)
    op.execute("CREATE INDEX idx_transactions_portfolio ON invest.transactions (portfolio_id)")
    op.execute("CREATE INDEX idx_transactions_symbol ON invest.transactions (symbol)")
    op.execute("CREATE INDEX idx_transactions_date ON invest.transactions (transaction_date)")
    op.execute("CREATE INDEX idx_transactions_type ON invest.transactions (transaction_type)")
    execute_verbatim(KEEP_SEVEN_YEARS)
    op.execute("""
        CREATE TRIGGER transactions_kept BEFORE DELETE OR UPDATE OF transaction_date ON invest.transactions
        FOR EACH ROW EXECUTE FUNCTION invest.keep_transactions()
    """)

    op.execute("""
        CREATE TABLE invest.watchlists (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES invest.users (id) ON DELETE CASCADE,
            name VARCHAR(100) NOT NULL,
            description TEXT,
            is_public BOOLEAN NOT NULL DEFAULT false,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX idx_watchlists_user_id ON invest.watchlists (user_id)")
    create_updated_at_trigger("invest.watchlists")

    op.execute("""
        CREATE TABLE invest.watchlist_items (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            watchlist_id UUID NOT NULL REFERENCES invest.watchlists (id) ON DELETE CASCADE,
            symbol VARCHAR(32) NOT NULL,
            added_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            notes TEXT,
            CONSTRAINT unique_watchlist_symbol UNIQUE (watchlist_id, symbol)
        )
    """)

    op.execute("""
        CREATE TABLE invest.price_alerts (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES invest.users (id) ON DELETE CASCADE,
            symbol VARCHAR(32) NOT NULL,
            alert_type VARCHAR(20) NOT NULL,
            target_price NUMERIC(18,6) NOT NULL,
            condition VARCHAR(10) NOT NULL,
            is_active BOOLEAN NOT NULL DEFAULT true,
            triggered_at TIMESTAMPTZ,
            notified_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            expires_at TIMESTAMPTZ,
            CONSTRAINT check_alert_type CHECK (alert_type IN ('price','percent_change','volume')),
            CONSTRAINT check_condition CHECK (condition IN ('above','below','equals'))
        )
    """)
    op.execute("CREATE INDEX idx_price_alerts_user_id ON invest.price_alerts (user_id)")
    op.execute("CREATE INDEX idx_price_alerts_symbol ON invest.price_alerts (symbol)")
    op.execute("CREATE INDEX idx_price_alerts_active ON invest.price_alerts (is_active) WHERE is_active")

    op.execute("""
        CREATE TABLE invest.ai_insights (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID REFERENCES invest.users (id) ON DELETE SET NULL,
            insight_type VARCHAR(20) NOT NULL,
            symbol VARCHAR(32),
            title VARCHAR(255) NOT NULL,
            description TEXT NOT NULL,
            confidence NUMERIC(5,2) NOT NULL,
            recommendation VARCHAR(20),
            target_price NUMERIC(18,6),
            time_horizon VARCHAR(20),
            is_actionable BOOLEAN NOT NULL DEFAULT false,
            metadata JSONB NOT NULL DEFAULT '{}',
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            expires_at TIMESTAMPTZ,
            CONSTRAINT check_insight_type
                CHECK (insight_type IN ('bullish','bearish','neutral','market','portfolio')),
            CONSTRAINT check_confidence CHECK (confidence >= 0 AND confidence <= 100)
        )
    """)
    op.execute("CREATE INDEX idx_ai_insights_user_id ON invest.ai_insights (user_id)")
    op.execute("CREATE INDEX idx_ai_insights_symbol ON invest.ai_insights (symbol)")
    op.execute("CREATE INDEX idx_ai_insights_type ON invest.ai_insights (insight_type)")
    op.execute("CREATE INDEX idx_ai_insights_created ON invest.ai_insights (created_at)")

    op.execute("""
        CREATE TABLE invest.user_activity_log (
            id BIGINT GENERATED BY DEFAULT AS IDENTITY,
            user_id UUID REFERENCES invest.users (id) ON DELETE SET NULL,
            activity_type VARCHAR(50) NOT NULL,
            resource_type VARCHAR(50),
            resource_id VARCHAR(100),
            details JSONB,
            ip_address VARCHAR(45),
            user_agent TEXT,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            PRIMARY KEY (id, created_at)
        ) PARTITION BY RANGE (created_at)
    """)
    op.execute("CREATE INDEX idx_activity_log_user_id ON invest.user_activity_log (user_id)")
    op.execute("CREATE INDEX idx_activity_log_type ON invest.user_activity_log (activity_type)")
    op.execute("CREATE INDEX idx_activity_log_created ON invest.user_activity_log (created_at)")

    op.execute("""
        CREATE MATERIALIZED VIEW invest.portfolio_summary AS
        SELECT p.id, p.user_id, count(a.id) AS asset_count, sum(a.current_value) AS total_value,
            sum(a.unrealized_gain) AS total_gain
        FROM invest.portfolios p LEFT JOIN invest.portfolio_assets a ON a.portfolio_id = p.id
        GROUP BY p.id, p.user_id
    """)
    op.execute("CREATE UNIQUE INDEX idx_portfolio_summary_id ON invest.portfolio_summary (id)")
    # a materialized view takes no policy; the barrier keeps a cheap function in a query from seeing others' rows first
    op.execute("""
        CREATE VIEW invest.own_portfolio_summary WITH (security_barrier) AS
        SELECT id, user_id, asset_count, total_value, total_gain FROM invest.portfolio_summary
        WHERE user_id = CAST(nullif(current_setting('app.current_user_id', true), '') AS uuid)
    """)


def downgrade() -> None:
    execute_verbatim(REFUSE_TO_DROP_THEM)
    op.execute("DROP VIEW invest.own_portfolio_summary")
    op.execute("DROP MATERIALIZED VIEW invest.portfolio_summary")
    op.execute("DROP TABLE invest.user_activity_log")
    op.execute("DROP TABLE invest.ai_insights")
    op.execute("DROP TABLE invest.price_alerts")
    op.execute("DROP TABLE invest.watchlist_items")
    op.execute("DROP TABLE invest.watchlists")
    op.execute("DROP TABLE invest.transactions")
    op.execute("DROP FUNCTION invest.keep_transactions()")
