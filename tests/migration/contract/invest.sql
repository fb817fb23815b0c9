-- The data contract of the invest domain: its DDL, loaded by the tests and compared with what the migrations make.
-- Text of the data dictionary to the letter.

CREATE SCHEMA invest;
SET search_path = invest;

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(255) NOT NULL UNIQUE,                    -- personal: clear
    password_hash VARCHAR(255) NOT NULL,                   -- bcrypt
    first_name VARCHAR(100) NOT NULL,                      -- personal: clear
    last_name VARCHAR(100) NOT NULL,                       -- personal: clear
    phone TEXT,                                            -- personal: sealed (ciphertext)
    avatar_url TEXT,                                       -- personal: clear
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,
    email_verification_token VARCHAR(255),                 -- digest
    password_reset_token VARCHAR(255),                     -- digest
    password_reset_expires TIMESTAMPTZ,
    last_login TIMESTAMPTZ,
    subscription_tier VARCHAR(20) NOT NULL DEFAULT 'free',
    subscription_expires TIMESTAMPTZ,
    preferences JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    deleted_at TIMESTAMPTZ,                                -- soft deletion
    CONSTRAINT check_email_format CHECK (email ~* '^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$')
);
CREATE INDEX idx_users_subscription ON users (subscription_tier);
CREATE INDEX idx_users_created_at ON users (created_at);
CREATE UNIQUE INDEX uq_users_email_lower ON users (lower(email)) WHERE deleted_at IS NULL;

CREATE TABLE sessions (                                    -- durable record of refresh tokens; the live session is in Redis
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    refresh_token VARCHAR(500) NOT NULL,                   -- stored as a digest
    device_info JSONB,                                     -- personal: clear
    ip_address VARCHAR(45),                                -- personal: clear
    user_agent TEXT,                                       -- personal: clear
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT check_expires_future CHECK (expires_at > created_at)
);
CREATE INDEX idx_sessions_user_id ON sessions (user_id);
CREATE INDEX idx_sessions_token ON sessions (refresh_token);
CREATE INDEX idx_sessions_expires ON sessions (expires_at);

CREATE TABLE portfolios (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL DEFAULT 'Main Portfolio',
    description TEXT,
    is_default BOOLEAN NOT NULL DEFAULT TRUE,
    currency VARCHAR(3) NOT NULL DEFAULT 'USD',
    initial_value NUMERIC(15,2) NOT NULL DEFAULT 0.00,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT check_initial_value CHECK (initial_value >= 0)
);
CREATE INDEX idx_portfolios_user_id ON portfolios (user_id);
CREATE UNIQUE INDEX idx_portfolios_user_default ON portfolios (user_id, is_default) WHERE is_default;

CREATE TABLE portfolio_assets (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    portfolio_id UUID NOT NULL REFERENCES portfolios(id) ON DELETE CASCADE,
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
);
CREATE INDEX idx_portfolio_assets_symbol ON portfolio_assets (symbol);

CREATE TABLE transactions (                                -- range-partitioned by year on transaction_date; kept 7 years (regulatory)
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    portfolio_id UUID NOT NULL REFERENCES portfolios(id) ON DELETE RESTRICT,   -- a portfolio with transactions stays, without its person
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
) PARTITION BY RANGE (transaction_date);
CREATE INDEX idx_transactions_portfolio ON transactions (portfolio_id);
CREATE INDEX idx_transactions_symbol ON transactions (symbol);
CREATE INDEX idx_transactions_date ON transactions (transaction_date);
CREATE INDEX idx_transactions_type ON transactions (transaction_type);

CREATE TABLE watchlists (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL,
    description TEXT,
    is_public BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_watchlists_user_id ON watchlists (user_id);

CREATE TABLE watchlist_items (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    watchlist_id UUID NOT NULL REFERENCES watchlists(id) ON DELETE CASCADE,
    symbol VARCHAR(32) NOT NULL,
    added_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    notes TEXT,
    CONSTRAINT unique_watchlist_symbol UNIQUE (watchlist_id, symbol)
);

CREATE TABLE price_alerts (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    symbol VARCHAR(32) NOT NULL,
    alert_type VARCHAR(20) NOT NULL,
    target_price NUMERIC(18,6) NOT NULL,
    condition VARCHAR(10) NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    triggered_at TIMESTAMPTZ,
    notified_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ,
    CONSTRAINT check_alert_type CHECK (alert_type IN ('price','percent_change','volume')),
    CONSTRAINT check_condition CHECK (condition IN ('above','below','equals'))
);
CREATE INDEX idx_price_alerts_user_id ON price_alerts (user_id);
CREATE INDEX idx_price_alerts_symbol ON price_alerts (symbol);
CREATE INDEX idx_price_alerts_active ON price_alerts (is_active) WHERE is_active;

CREATE TABLE ai_insights (                                 -- kept 30 days; expired ones go at once
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID REFERENCES users(id) ON DELETE SET NULL,
    insight_type VARCHAR(20) NOT NULL,
    symbol VARCHAR(32),
    title VARCHAR(255) NOT NULL,
    description TEXT NOT NULL,
    confidence NUMERIC(5,2) NOT NULL,
    recommendation VARCHAR(20),
    target_price NUMERIC(18,6),
    time_horizon VARCHAR(20),
    is_actionable BOOLEAN NOT NULL DEFAULT FALSE,
    metadata JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ,
    CONSTRAINT check_insight_type CHECK (insight_type IN ('bullish','bearish','neutral','market','portfolio')),
    CONSTRAINT check_confidence CHECK (confidence >= 0 AND confidence <= 100)
);
CREATE INDEX idx_ai_insights_user_id ON ai_insights (user_id);
CREATE INDEX idx_ai_insights_symbol ON ai_insights (symbol);
CREATE INDEX idx_ai_insights_type ON ai_insights (insight_type);
CREATE INDEX idx_ai_insights_created ON ai_insights (created_at);

CREATE TABLE user_activity_log (                           -- range-partitioned by month on created_at; kept 90 days
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    user_id UUID REFERENCES users(id) ON DELETE SET NULL,
    activity_type VARCHAR(50) NOT NULL,
    resource_type VARCHAR(50),
    resource_id VARCHAR(100),
    details JSONB,
    ip_address VARCHAR(45),                                -- personal: clear
    user_agent TEXT,                                       -- personal: clear
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_activity_log_user_id ON user_activity_log (user_id);
CREATE INDEX idx_activity_log_type ON user_activity_log (activity_type);
CREATE INDEX idx_activity_log_created ON user_activity_log (created_at);

CREATE MATERIALIZED VIEW portfolio_summary AS              -- refreshed CONCURRENTLY
SELECT p.id, p.user_id, count(a.id) AS asset_count, sum(a.current_value) AS total_value, sum(a.unrealized_gain) AS total_gain
FROM portfolios p LEFT JOIN portfolio_assets a ON a.portfolio_id = p.id
GROUP BY p.id, p.user_id;
CREATE UNIQUE INDEX idx_portfolio_summary_id ON portfolio_summary (id);

-- Time series (hypertables of the timescale store) -------------------------------------------------------------

CREATE TABLE stock_prices (                                -- daily OHLCV, kept for ever
    time TIMESTAMPTZ NOT NULL,
    symbol VARCHAR(32) NOT NULL,
    open NUMERIC(18,6) NOT NULL,
    high NUMERIC(18,6) NOT NULL,
    low NUMERIC(18,6) NOT NULL,
    close NUMERIC(18,6) NOT NULL,
    volume BIGINT NOT NULL,
    adjusted_close NUMERIC(18,6),                          -- sources with more decimals: rounded only where the caller says so
    CONSTRAINT check_price_positive CHECK (open > 0 AND high > 0 AND low > 0 AND close > 0),
    CONSTRAINT check_high_low CHECK (high >= low),
    CONSTRAINT check_volume_positive CHECK (volume >= 0)
);
CREATE UNIQUE INDEX idx_stock_prices_symbol_time ON stock_prices (symbol, time DESC);          -- the natural key
CREATE INDEX idx_stock_prices_time ON stock_prices (time DESC);

CREATE TABLE intraday_prices (                             -- 1-minute; chunks of 1 day; compressed after 7 days; dropped after 30
    time TIMESTAMPTZ NOT NULL,
    symbol VARCHAR(32) NOT NULL,
    price NUMERIC(18,6) NOT NULL,
    volume NUMERIC(24,8) NOT NULL,                         -- fractional for currencies and tokens
    bid NUMERIC(18,6),
    ask NUMERIC(18,6),
    CONSTRAINT check_price_positive CHECK (price > 0)
);
CREATE UNIQUE INDEX idx_intraday_symbol_time ON intraday_prices (symbol, time DESC);           -- the natural key
-- stock_prices_5min: continuous aggregate of intraday_prices by 5 minutes and symbol:
-- bucket, symbol, open = first(price, time), high = max, low = min, close = last(price, time), volume = sum(volume),
-- and, for what is derived from it, notional = sum(price * volume), count
-- stock_prices_1h: the same columns by 1 hour, from stock_prices_5min

CREATE TABLE portfolio_snapshots (                         -- compressed after 1 year
    time TIMESTAMPTZ NOT NULL,
    portfolio_id UUID NOT NULL,
    total_value NUMERIC(15,2) NOT NULL,
    cash_balance NUMERIC(15,2) NOT NULL DEFAULT 0.00,
    total_gain NUMERIC(15,2),
    total_gain_percent NUMERIC(7,4),
    day_change NUMERIC(15,2),
    day_change_percent NUMERIC(7,4),
    asset_allocation JSONB,
    CONSTRAINT check_total_value CHECK (total_value >= 0)
);
CREATE UNIQUE INDEX idx_portfolio_snapshots_id_time ON portfolio_snapshots (portfolio_id, time DESC);   -- the natural key

CREATE TABLE market_indices (
    time TIMESTAMPTZ NOT NULL,
    index_symbol VARCHAR(32) NOT NULL,
    value NUMERIC(18,6) NOT NULL,
    change NUMERIC(18,6),
    change_percent NUMERIC(7,4),
    volume BIGINT
);
CREATE UNIQUE INDEX idx_market_indices_symbol_time ON market_indices (index_symbol, time DESC);  -- the natural key
