-- The data contract of the rooms domain: its DDL, loaded by the tests and compared with what the migrations make.
-- Text of the data dictionary to the letter.

CREATE SCHEMA rooms;
SET search_path = rooms;

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    wallet_address VARCHAR(42) NOT NULL UNIQUE,            -- personal: clear (Ethereum address)
    nonce VARCHAR(255) NOT NULL,                           -- random, for signing in; a new one after each use
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE nfts (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    collection VARCHAR(255) NOT NULL,
    token_id VARCHAR(255) NOT NULL,
    name VARCHAR(255) NOT NULL,
    description TEXT,
    image_url VARCHAR(2083),
    metadata JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT uq_nfts_collection_token UNIQUE (collection, token_id)
);
CREATE INDEX ix_nfts_collection ON nfts (collection);

CREATE TABLE rooms (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(255) NOT NULL,
    collection VARCHAR(255) NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','paused','closed')),
    floor_price NUMERIC(10,2),
    top_bid NUMERIC(10,2),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX ix_rooms_collection ON rooms (collection);
CREATE INDEX ix_rooms_status ON rooms (status);

CREATE TABLE swarms (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE RESTRICT,
    room_id UUID NOT NULL REFERENCES rooms(id) ON DELETE CASCADE,
    preset VARCHAR(50) NOT NULL CHECK (preset IN ('small_test','balanced_market','high_competition','buyers_market')),
    total_agents INTEGER NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'running' CHECK (status IN ('running','paused','completed')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    completed_at TIMESTAMPTZ
);
CREATE INDEX ix_swarms_user ON swarms (user_id);
CREATE INDEX ix_swarms_room ON swarms (room_id);

CREATE TABLE agents (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE RESTRICT,
    room_id UUID NOT NULL REFERENCES rooms(id) ON DELETE CASCADE,
    nft_id UUID REFERENCES nfts(id) ON DELETE RESTRICT,    -- what a seller lists
    swarm_id UUID REFERENCES swarms(id) ON DELETE SET NULL,
    deal_id UUID,                                          -- FOREIGN KEY to deals(id) ON DELETE SET NULL, added below
    name VARCHAR(255) NOT NULL,
    avatar VARCHAR(255),                                   -- an emoji
    role VARCHAR(50) NOT NULL CHECK (role IN ('buyer','seller')),
    status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','negotiating','deal_locked','completed')),
    strategy VARCHAR(50) NOT NULL CHECK (strategy IN ('competitive','patient','aggressive','conservative','sniper')),
    communication_style VARCHAR(50) NOT NULL CHECK (communication_style IN ('formal','casual','professional','aggressive')),
    min_price NUMERIC(10,2),                               -- the least that is accepted
    max_price NUMERIC(10,2),                               -- the most that is paid
    starting_price NUMERIC(10,2) NOT NULL,
    messages_sent INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT nft_only_for_sellers CHECK (role = 'seller' OR nft_id IS NULL)
);
CREATE INDEX ix_agents_user ON agents (user_id);
CREATE INDEX ix_agents_room ON agents (room_id);
CREATE INDEX ix_agents_status ON agents (status);
CREATE INDEX ix_agents_role ON agents (role);
CREATE INDEX ix_agents_room_status ON agents (room_id, status);
CREATE INDEX ix_agents_deal ON agents (deal_id);
CREATE INDEX ix_agents_swarm ON agents (swarm_id);
CREATE INDEX ix_agents_nft ON agents (nft_id);
CREATE UNIQUE INDEX uq_agents_listed_nft ON agents (nft_id) WHERE status <> 'completed';   -- listed by one agent at a time

CREATE TABLE deals (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    room_id UUID NOT NULL REFERENCES rooms(id) ON DELETE CASCADE,
    buyer_agent_id UUID NOT NULL REFERENCES agents(id),    -- NO ACTION: an agent with deals stays; a room still takes all along
    seller_agent_id UUID NOT NULL REFERENCES agents(id),
    buyer_user_id UUID NOT NULL REFERENCES users(id) ON DELETE RESTRICT,
    seller_user_id UUID NOT NULL REFERENCES users(id) ON DELETE RESTRICT,
    nft_id UUID NOT NULL REFERENCES nfts(id) ON DELETE RESTRICT,
    final_price NUMERIC(10,2) NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending','locked','verifying','completed','failed')),
    consensus_result JSONB,                                -- details of the byzantine-fault-tolerant vote
    tx_hash VARCHAR(255),
    block_number BIGINT,
    locked_at TIMESTAMPTZ,
    verified_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX ix_deals_room ON deals (room_id);
CREATE INDEX ix_deals_buyer_agent ON deals (buyer_agent_id);
CREATE INDEX ix_deals_seller_agent ON deals (seller_agent_id);
CREATE INDEX ix_deals_nft ON deals (nft_id);
CREATE INDEX ix_deals_status ON deals (status);
CREATE INDEX ix_deals_created_at ON deals (created_at);
CREATE INDEX ix_deals_buyer_user ON deals (buyer_user_id);
CREATE INDEX ix_deals_seller_user ON deals (seller_user_id);
ALTER TABLE agents ADD CONSTRAINT fk_agents_deal FOREIGN KEY (deal_id) REFERENCES deals(id) ON DELETE SET NULL;

CREATE TABLE messages (                                    -- summaries of what agents say, never the full text
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    room_id UUID NOT NULL REFERENCES rooms(id) ON DELETE CASCADE,
    agent_id UUID NOT NULL REFERENCES agents(id),
    message_type VARCHAR(50) NOT NULL CHECK (message_type IN ('offer','counter','accept','reject','comment')),
    price_mentioned NUMERIC(10,2),
    sentiment VARCHAR(20) NOT NULL CHECK (sentiment IN ('positive','negative','neutral')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX ix_messages_room ON messages (room_id);
CREATE INDEX ix_messages_agent ON messages (agent_id);
CREATE INDEX ix_messages_created_at ON messages (created_at);

CREATE TABLE agent_performance (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id UUID NOT NULL UNIQUE REFERENCES agents(id) ON DELETE CASCADE,
    deals_completed INTEGER NOT NULL DEFAULT 0,
    avg_negotiation_time INTEGER,                          -- seconds
    success_rate NUMERIC(5,2) CHECK (success_rate >= 0 AND success_rate <= 100),
    total_messages INTEGER NOT NULL DEFAULT 0,
    last_active_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
