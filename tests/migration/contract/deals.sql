-- The data contract of the deals domain: its DDL, loaded by the tests and compared with what the migrations make.
-- Text of the data dictionary to the letter.

CREATE SCHEMA deals;
SET search_path = deals;

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(255) NOT NULL UNIQUE,                    -- personal: clear
    hashed_password VARCHAR(255) NOT NULL,                 -- bcrypt; was: password
    name VARCHAR(255),                                     -- personal: clear
    role VARCHAR(50) NOT NULL DEFAULT 'user' CHECK (role IN ('user','admin','moderator')),
    status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','inactive','suspended','deleted')),
    is_active BOOLEAN GENERATED ALWAYS AS (status = 'active') STORED,
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,         -- was: is_verified
    verification_token VARCHAR(255),                       -- digest
    sol_address VARCHAR(44) UNIQUE,                        -- personal: clear
    referral_code VARCHAR(10) UNIQUE,
    referred_by UUID REFERENCES users(id) ON DELETE SET NULL,
    preferences JSONB NOT NULL DEFAULT '{}',
    notification_channels JSONB NOT NULL DEFAULT '["in_app"]',
    social_provider VARCHAR(50),
    social_id VARCHAR(255),                                -- personal: clear
    last_payment_at TIMESTAMPTZ,
    last_login_at TIMESTAMPTZ,
    active_goals_count INTEGER NOT NULL DEFAULT 0,
    total_deals_found INTEGER NOT NULL DEFAULT 0,
    success_rate NUMERIC(5,4) NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX ix_users_email_status ON users (email, status);
CREATE INDEX ix_users_role ON users (role);
CREATE INDEX ix_users_referred_by ON users (referred_by);
CREATE UNIQUE INDEX uq_users_email_lower ON users (lower(email));     -- one account an address, however it is spelt
-- sol_address and referral_code: the unique constraints are their indexes.

CREATE TABLE user_preferences (
    user_id UUID PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    notification_email BOOLEAN NOT NULL DEFAULT TRUE,
    notification_push BOOLEAN NOT NULL DEFAULT TRUE,
    theme VARCHAR(50) DEFAULT 'light',
    deal_categories JSONB,
    preferred_markets JSONB,
    min_discount_percentage INTEGER,
    max_price NUMERIC(10,2),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
-- row-level security: policy user_data_isolation, a session sees only rows whose user_id equals app.current_user_id

CREATE TABLE auth_tokens (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    token TEXT NOT NULL,                                   -- stored as a digest, never in the clear
    token_type VARCHAR(50) NOT NULL CHECK (token_type IN ('access','refresh','reset')),
    status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','expired','revoked')),
    scope VARCHAR(50) NOT NULL DEFAULT 'full' CHECK (scope IN ('full','limited','read')),
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_auth_tokens_user ON auth_tokens (user_id);
CREATE INDEX ix_auth_tokens_token ON auth_tokens (token);
CREATE INDEX ix_auth_tokens_status ON auth_tokens (status);

CREATE TABLE markets (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(255) NOT NULL UNIQUE,
    type VARCHAR(50) NOT NULL CHECK (type IN ('amazon','walmart','ebay','target','bestbuy')),
    status VARCHAR(50) NOT NULL DEFAULT 'active'
        CHECK (status IN ('active','inactive','maintenance','rate_limited','error','deprecated')),
    base_url TEXT NOT NULL,                                -- was: url
    logo_url TEXT,
    api_endpoint TEXT,
    api_key TEXT,                                          -- sealed (encrypted)
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
);
CREATE INDEX ix_markets_type_status ON markets (type, status);
CREATE INDEX ix_markets_status ON markets (status);
-- name: the unique constraint is its index.

CREATE TABLE categories (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL,
    parent_id UUID REFERENCES categories(id),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT unique_name_per_parent UNIQUE (name, parent_id)
);
CREATE INDEX ix_categories_parent ON categories (parent_id);

CREATE TABLE sources (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL UNIQUE,
    type VARCHAR(50) NOT NULL CHECK (type IN ('api','scraper','affiliate','user_submitted')),
    configuration JSONB,
    status VARCHAR(50) NOT NULL DEFAULT 'active',
    reliability_score NUMERIC(3,2) NOT NULL DEFAULT 1.0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT valid_reliability_score CHECK (reliability_score >= 0 AND reliability_score <= 1)
);
CREATE INDEX ix_sources_type ON sources (type);
CREATE INDEX ix_sources_status ON sources (status);

CREATE TABLE goals (                                       -- was: user_goals
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    title VARCHAR(255) NOT NULL,
    description TEXT,
    category VARCHAR(50) NOT NULL
        CHECK (category IN ('electronics','fashion','home','books','toys','sports','automotive','health','beauty','grocery','other')),
    constraints JSONB NOT NULL DEFAULT '{}',               -- was: parameters
    status VARCHAR(50) NOT NULL DEFAULT 'active'
        CHECK (status IN ('active','paused','completed','cancelled','failed','expired','error')),
    priority VARCHAR(50) NOT NULL DEFAULT 'medium' CHECK (priority IN ('high','medium','low')),
    priority_rank INTEGER NOT NULL DEFAULT 5,              -- was: user_goals.priority
    progress_metrics JSONB,
    start_date TIMESTAMPTZ NOT NULL DEFAULT now(),
    end_date TIMESTAMPTZ,                                  -- was: target_date
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
);
CREATE INDEX ix_goals_user_status ON goals (user_id, status);
CREATE INDEX ix_goals_status ON goals (status);
CREATE INDEX ix_goals_category ON goals (category);
CREATE INDEX ix_goals_priority ON goals (priority);
CREATE INDEX ix_goals_priority_rank ON goals (priority_rank);

CREATE TABLE deals (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    market_id UUID NOT NULL REFERENCES markets(id) ON DELETE CASCADE,
    category_id UUID REFERENCES categories(id),
    source_id UUID REFERENCES sources(id),                 -- NULL for deals that a user or an agent entered
    title VARCHAR(255) NOT NULL,
    description TEXT,
    url TEXT NOT NULL,
    image_url TEXT,
    current_price NUMERIC(10,2) NOT NULL,
    original_price NUMERIC(10,2),                          -- NULL where the market names none; then no discount either
    currency VARCHAR(3) NOT NULL DEFAULT 'USD',
    discount_percent NUMERIC(5,2),                         -- was: discount_percentage
    category VARCHAR(50) NOT NULL
        CHECK (category IN ('electronics','fashion','home','books','toys','sports','automotive','health','beauty','grocery','other')),
    source VARCHAR(50) NOT NULL
        CHECK (source IN ('amazon','walmart','ebay','target','bestbuy','manual','api','scraper','user','agent')),
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
    meta_data JSONB NOT NULL DEFAULT '{}',                 -- was: metadata
    CONSTRAINT positive_prices CHECK (current_price > 0 AND (original_price IS NULL OR original_price > 0)),
    CONSTRAINT valid_discount CHECK (discount_percent IS NULL OR (discount_percent >= 0 AND discount_percent <= 100))
);
CREATE INDEX ix_deals_market_status ON deals (market_id, status);
CREATE INDEX ix_deals_category ON deals (category);
CREATE INDEX ix_deals_category_id ON deals (category_id);
CREATE INDEX ix_deals_source ON deals (source);
CREATE INDEX ix_deals_source_id ON deals (source_id);
CREATE INDEX ix_deals_url ON deals (url);
CREATE INDEX ix_deals_status ON deals (status);
CREATE INDEX ix_deals_created_at ON deals (created_at);
CREATE INDEX ix_deals_expires_at ON deals (expires_at);
CREATE INDEX ix_deals_discount_percent ON deals (discount_percent);
CREATE INDEX ix_deals_current_price ON deals (current_price);
CREATE INDEX ix_deals_active_price ON deals (category, current_price) WHERE status = 'active';

CREATE TABLE goal_deals (                                  -- replaces deals.goal_id: one deal can serve many goals
    goal_id UUID NOT NULL REFERENCES goals(id) ON DELETE CASCADE,
    deal_id UUID NOT NULL REFERENCES deals(id) ON DELETE CASCADE,
    relevance_score NUMERIC(5,2) NOT NULL,
    matched_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    status VARCHAR(50) NOT NULL DEFAULT 'active',
    PRIMARY KEY (goal_id, deal_id)
);
CREATE INDEX ix_goal_deals_deal ON goal_deals (deal_id);
CREATE INDEX ix_goal_deals_relevance ON goal_deals (relevance_score);

CREATE TABLE saved_deals (
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    deal_id UUID NOT NULL REFERENCES deals(id) ON DELETE CASCADE,
    saved_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    notes TEXT,
    PRIMARY KEY (user_id, deal_id)
);
CREATE INDEX ix_saved_deals_deal ON saved_deals (deal_id);
CREATE INDEX ix_saved_deals_saved_at ON saved_deals (saved_at);

CREATE TABLE chat_messages (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    goal_id UUID REFERENCES goals(id) ON DELETE SET NULL,
    role VARCHAR(50) NOT NULL CHECK (role IN ('user','assistant','system')),
    content TEXT NOT NULL,                                 -- personal: sealed (ciphertext, base64)
    tokens_used INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_chat_messages_user ON chat_messages (user_id);
CREATE INDEX ix_chat_messages_goal ON chat_messages (goal_id);
CREATE INDEX ix_chat_messages_role ON chat_messages (role);

CREATE TABLE notifications (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    -- older terms: deal_alert=deal, price_drop=price_alert, goal_update=goal, token_update=token, system_message=system
    type VARCHAR(50) NOT NULL CHECK (type IN ('system','deal','goal','price_alert','token','security','market')),
    priority VARCHAR(50) NOT NULL DEFAULT 'medium' CHECK (priority IN ('critical','high','medium','low')),
    status VARCHAR(50) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending','sent','delivered','read','failed')),
    title VARCHAR(255) NOT NULL,
    message TEXT NOT NULL,                                 -- was: content
    goal_id UUID REFERENCES goals(id) ON DELETE SET NULL,
    deal_id UUID REFERENCES deals(id) ON DELETE SET NULL,
    action_url TEXT,
    channels JSONB NOT NULL DEFAULT '["in_app"]',
    sent_at TIMESTAMPTZ,
    delivered_at TIMESTAMPTZ,
    read_at TIMESTAMPTZ,
    is_read BOOLEAN GENERATED ALWAYS AS (read_at IS NOT NULL) STORED,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_notifications_user_status ON notifications (user_id, status);
CREATE INDEX ix_notifications_type ON notifications (type);
CREATE INDEX ix_notifications_priority ON notifications (priority);
CREATE INDEX ix_notifications_created_at ON notifications (created_at);
CREATE INDEX ix_notifications_is_read ON notifications (is_read);
CREATE INDEX ix_notifications_unread ON notifications (user_id, created_at DESC) WHERE read_at IS NULL;
CREATE INDEX ix_notifications_goal ON notifications (goal_id);
CREATE INDEX ix_notifications_deal ON notifications (deal_id);

CREATE TABLE notification_settings (
    user_id UUID PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    email_deal_alerts BOOLEAN NOT NULL DEFAULT TRUE,
    email_price_drops BOOLEAN NOT NULL DEFAULT TRUE,
    email_goal_updates BOOLEAN NOT NULL DEFAULT TRUE,
    push_deal_alerts BOOLEAN NOT NULL DEFAULT TRUE,
    push_price_drops BOOLEAN NOT NULL DEFAULT TRUE,
    push_goal_updates BOOLEAN NOT NULL DEFAULT TRUE,
    quiet_hours_start TIME,
    quiet_hours_end TIME,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE user_token_balances (                         -- replaces users.token_balance, total_tokens_spent, total_rewards_earned
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL UNIQUE REFERENCES users(id) ON DELETE CASCADE,
    balance NUMERIC(18,8) NOT NULL DEFAULT 0,
    lifetime_earned NUMERIC(18,8) NOT NULL DEFAULT 0,
    lifetime_spent NUMERIC(18,8) NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT positive_balance CHECK (balance >= 0)
);

CREATE TABLE token_transactions (                          -- range-partitioned by month on created_at
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    -- was: transaction_type
    type VARCHAR(50) NOT NULL CHECK (type IN ('purchase','ai_usage','signup_bonus','referral_bonus','admin_adjustment',
                                              'redemption_code','refund','expiration','deduction','reward')),
    amount NUMERIC(18,8) NOT NULL,
    balance_after NUMERIC(18,8),                           -- NULL until completed
    status VARCHAR(50) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending','completed','failed','cancelled')),
    description TEXT,
    goal_id UUID REFERENCES goals(id) ON DELETE SET NULL,
    reference_id UUID,
    tx_hash VARCHAR(66),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, created_at),
    CONSTRAINT valid_amount CHECK (amount <> 0),
    CONSTRAINT completed_has_balance CHECK (status <> 'completed' OR balance_after IS NOT NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX ix_token_transactions_user ON token_transactions (user_id);
CREATE INDEX ix_token_transactions_type ON token_transactions (type);
CREATE INDEX ix_token_transactions_status ON token_transactions (status);
CREATE INDEX ix_token_transactions_hash ON token_transactions (tx_hash);
CREATE INDEX ix_token_transactions_created_at ON token_transactions (created_at);
CREATE INDEX ix_token_transactions_reference ON token_transactions (reference_id);
CREATE INDEX ix_token_transactions_goal ON token_transactions (goal_id);

CREATE TABLE token_balance_history (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    balance_before NUMERIC(18,8) NOT NULL,
    balance_after NUMERIC(18,8) NOT NULL,
    change_amount NUMERIC(18,8) NOT NULL,
    change_type VARCHAR(50) NOT NULL CHECK (change_type IN ('purchase','ai_usage','signup_bonus','referral_bonus','admin_adjustment',
                                                            'redemption_code','refund','expiration','deduction','reward')),
    transaction_id UUID,                                   -- the token transaction; no foreign key: its partitions may be retired first
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_token_balance_history_user ON token_balance_history (user_id);
CREATE INDEX ix_token_balance_history_type ON token_balance_history (change_type);
CREATE INDEX ix_token_balance_history_transaction ON token_balance_history (transaction_id);

CREATE TABLE token_pricing (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    service_type VARCHAR(50) NOT NULL,
    token_cost NUMERIC(18,8) NOT NULL,
    min_tokens INTEGER NOT NULL DEFAULT 1,
    max_tokens INTEGER,
    valid_from TIMESTAMPTZ NOT NULL DEFAULT now(),
    valid_to TIMESTAMPTZ,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_token_pricing_service ON token_pricing (service_type);
CREATE INDEX ix_token_pricing_active ON token_pricing (is_active);
CREATE INDEX ix_token_pricing_validity ON token_pricing (valid_from, valid_to);

CREATE TABLE token_packages (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL,
    token_amount INTEGER NOT NULL,
    price_usd NUMERIC(10,2) NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    description TEXT,
    discount_percentage INTEGER DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT positive_token_amount CHECK (token_amount > 0),
    CONSTRAINT positive_price CHECK (price_usd > 0)
);
CREATE INDEX ix_token_packages_active ON token_packages (is_active);

CREATE TABLE token_redemption_codes (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    code VARCHAR(50) NOT NULL UNIQUE,
    token_amount INTEGER NOT NULL,
    max_redemptions INTEGER NOT NULL DEFAULT 1,
    redemptions_count INTEGER NOT NULL DEFAULT 0,
    expires_at TIMESTAMPTZ,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_by UUID REFERENCES users(id) ON DELETE SET NULL,
    CONSTRAINT positive_token_amount CHECK (token_amount > 0),
    CONSTRAINT valid_max_redemptions CHECK (max_redemptions > 0)
);
CREATE INDEX ix_redemption_codes_active ON token_redemption_codes (is_active);
CREATE INDEX ix_redemption_codes_expires ON token_redemption_codes (expires_at);
CREATE INDEX ix_redemption_codes_created_by ON token_redemption_codes (created_by);
-- Once per user, and a posting once per reference_id: kept under the lock of the user's row in user_token_balances.

CREATE TABLE shared_deals (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    deal_id UUID NOT NULL REFERENCES deals(id) ON DELETE CASCADE,
    share_type VARCHAR(50) NOT NULL CHECK (share_type IN ('email','link','social')),
    recipients JSONB,                                      -- personal: clear (addresses; erased with the user)
    message TEXT,
    public_link_id VARCHAR(100) UNIQUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    click_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX ix_shared_deals_user ON shared_deals (user_id);
CREATE INDEX ix_shared_deals_deal ON shared_deals (deal_id);
CREATE INDEX ix_shared_deals_created_at ON shared_deals (created_at);

CREATE TABLE social_interactions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    deal_id UUID NOT NULL REFERENCES deals(id) ON DELETE CASCADE,
    interaction_type VARCHAR(50) NOT NULL CHECK (interaction_type IN ('view','save','share','click','purchase')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    meta_data JSONB
);
CREATE INDEX ix_social_interactions_user ON social_interactions (user_id);
CREATE INDEX ix_social_interactions_deal ON social_interactions (deal_id);
CREATE INDEX ix_social_interactions_type ON social_interactions (interaction_type);
CREATE INDEX ix_social_interactions_created_at ON social_interactions (created_at);

CREATE TABLE ai_analysis_requests (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    deal_id UUID REFERENCES deals(id) ON DELETE SET NULL,
    url TEXT,
    product_name TEXT,
    status VARCHAR(50) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending','processing','completed','failed')),
    requested_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    completed_at TIMESTAMPTZ,
    tokens_charged INTEGER,
    model_used VARCHAR(100),
    result JSONB,
    error_message TEXT
);
CREATE INDEX ix_ai_requests_user ON ai_analysis_requests (user_id);
CREATE INDEX ix_ai_requests_deal ON ai_analysis_requests (deal_id);
CREATE INDEX ix_ai_requests_status ON ai_analysis_requests (status);
CREATE INDEX ix_ai_requests_requested_at ON ai_analysis_requests (requested_at);

CREATE TABLE ai_models (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL UNIQUE,
    provider VARCHAR(100) NOT NULL,
    version VARCHAR(100) NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    is_fallback BOOLEAN NOT NULL DEFAULT FALSE,
    token_cost_per_1k NUMERIC(10,6) NOT NULL,
    max_tokens INTEGER NOT NULL,
    capabilities JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX ix_ai_models_active ON ai_models (is_active);
CREATE INDEX ix_ai_models_provider ON ai_models (provider);

CREATE TABLE ai_prompt_templates (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL UNIQUE,
    template_text TEXT NOT NULL,
    description TEXT,
    version VARCHAR(50) NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    usage_type VARCHAR(100) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX ix_prompt_templates_active ON ai_prompt_templates (is_active);
CREATE INDEX ix_prompt_templates_usage_type ON ai_prompt_templates (usage_type);

-- Time series (a hypertable of the timescale store; no foreign keys there) ---------------------------------------

CREATE TABLE price_tracking (
    tracked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    deal_id UUID NOT NULL,
    price NUMERIC(10,2) NOT NULL CHECK (price > 0),
    currency VARCHAR(3) NOT NULL DEFAULT 'USD',
    source VARCHAR(50) NOT NULL
        CHECK (source IN ('amazon','walmart','ebay','target','bestbuy','manual','api','scraper','user','agent')),
    meta_data JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_price_tracking_deal ON price_tracking (deal_id, tracked_at DESC);
CREATE UNIQUE INDEX uq_price_tracking_key ON price_tracking (deal_id, source, tracked_at);        -- the natural key
CREATE INDEX ix_price_tracking_source ON price_tracking (source);
-- price_tracking_1d: rollup by 1 day and deal_id: bucket, deal_id, open, high, low, close, count
