"""Users, NFTs, rooms, swarms, agents, their deals, their messages, and what they achieved."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import create_schema, create_updated_at_trigger, drop_schema_if_empty

revision = "rooms_0001"
down_revision = None
branch_labels = ("rooms",)
depends_on = None


def upgrade() -> None:
    create_schema("rooms")
    op.execute("""
        CREATE TABLE rooms.users (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            wallet_address VARCHAR(42) NOT NULL UNIQUE,
            nonce VARCHAR(255) NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)

    op.execute("""
        CREATE TABLE rooms.nfts (
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
        )
    """)
    op.execute("CREATE INDEX ix_nfts_collection ON rooms.nfts (collection)")

    op.execute("""
        CREATE TABLE rooms.rooms (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            name VARCHAR(255) NOT NULL,
            collection VARCHAR(255) NOT NULL,
            status VARCHAR(50) NOT NULL DEFAULT 'active' CHECK (status IN ('active','paused','closed')),
            floor_price NUMERIC(10,2),
            top_bid NUMERIC(10,2),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_rooms_collection ON rooms.rooms (collection)")
    op.execute("CREATE INDEX ix_rooms_status ON rooms.rooms (status)")

    op.execute("""
        CREATE TABLE rooms.swarms (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES rooms.users (id) ON DELETE RESTRICT,
            room_id UUID NOT NULL REFERENCES rooms.rooms (id) ON DELETE CASCADE,
            preset VARCHAR(50) NOT NULL
                CHECK (preset IN ('small_test','balanced_market','high_competition','buyers_market')),
            total_agents INTEGER NOT NULL,
            status VARCHAR(50) NOT NULL DEFAULT 'running' CHECK (status IN ('running','paused','completed')),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            completed_at TIMESTAMPTZ
        )
    """)
    op.execute("CREATE INDEX ix_swarms_user ON rooms.swarms (user_id)")
    op.execute("CREATE INDEX ix_swarms_room ON rooms.swarms (room_id)")

    op.execute("""
        CREATE TABLE rooms.agents (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id UUID NOT NULL REFERENCES rooms.users (id) ON DELETE RESTRICT,
            room_id UUID NOT NULL REFERENCES rooms.rooms (id) ON DELETE CASCADE,
            nft_id UUID REFERENCES rooms.nfts (id) ON DELETE RESTRICT,
            swarm_id UUID REFERENCES rooms.swarms (id) ON DELETE SET NULL,
            deal_id UUID,
            name VARCHAR(255) NOT NULL,
            avatar VARCHAR(255),
            role VARCHAR(50) NOT NULL CHECK (role IN ('buyer','seller')),
            status VARCHAR(50) NOT NULL DEFAULT 'active'
                CHECK (status IN ('active','negotiating','deal_locked','completed')),
            strategy VARCHAR(50) NOT NULL
                CHECK (strategy IN ('competitive','patient','aggressive','conservative','sniper')),
            communication_style VARCHAR(50) NOT NULL
                CHECK (communication_style IN ('formal','casual','professional','aggressive')),
            min_price NUMERIC(10,2),
            max_price NUMERIC(10,2),
            starting_price NUMERIC(10,2) NOT NULL,
            messages_sent INTEGER NOT NULL DEFAULT 0,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CONSTRAINT nft_only_for_sellers CHECK (role = 'seller' OR nft_id IS NULL)
        )
    """)
    op.execute("CREATE INDEX ix_agents_user ON rooms.agents (user_id)")
    op.execute("CREATE INDEX ix_agents_room ON rooms.agents (room_id)")
    op.execute("CREATE INDEX ix_agents_status ON rooms.agents (status)")
    op.execute("CREATE INDEX ix_agents_role ON rooms.agents (role)")
    op.execute("CREATE INDEX ix_agents_room_status ON rooms.agents (room_id, status)")
    op.execute("CREATE INDEX ix_agents_deal ON rooms.agents (deal_id)")
    op.execute("CREATE INDEX ix_agents_swarm ON rooms.agents (swarm_id)")
    op.execute("CREATE INDEX ix_agents_nft ON rooms.agents (nft_id)")
    op.execute("CREATE UNIQUE INDEX uq_agents_listed_nft ON rooms.agents (nft_id) WHERE status <> 'completed'")

    op.execute("""
        CREATE TABLE rooms.deals (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            room_id UUID NOT NULL REFERENCES rooms.rooms (id) ON DELETE CASCADE,
            buyer_agent_id UUID NOT NULL REFERENCES rooms.agents (id),
            seller_agent_id UUID NOT NULL REFERENCES rooms.agents (id),
            buyer_user_id UUID NOT NULL REFERENCES rooms.users (id) ON DELETE RESTRICT,
            seller_user_id UUID NOT NULL REFERENCES rooms.users (id) ON DELETE RESTRICT,
            nft_id UUID NOT NULL REFERENCES rooms.nfts (id) ON DELETE RESTRICT,
            final_price NUMERIC(10,2) NOT NULL,
            status VARCHAR(50) NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending','locked','verifying','completed','failed')),
            consensus_result JSONB,
            tx_hash VARCHAR(255),
            block_number BIGINT,
            locked_at TIMESTAMPTZ,
            verified_at TIMESTAMPTZ,
            completed_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_deals_room ON rooms.deals (room_id)")
    op.execute("CREATE INDEX ix_deals_buyer_agent ON rooms.deals (buyer_agent_id)")
    op.execute("CREATE INDEX ix_deals_seller_agent ON rooms.deals (seller_agent_id)")
    op.execute("CREATE INDEX ix_deals_nft ON rooms.deals (nft_id)")
    op.execute("CREATE INDEX ix_deals_status ON rooms.deals (status)")
    op.execute("CREATE INDEX ix_deals_created_at ON rooms.deals (created_at)")
    op.execute("CREATE INDEX ix_deals_buyer_user ON rooms.deals (buyer_user_id)")
    op.execute("CREATE INDEX ix_deals_seller_user ON rooms.deals (seller_user_id)")
    # agents and deals refer to each other; both tables are empty here, so the key is checked at once
    op.execute("""
        ALTER TABLE rooms.agents ADD CONSTRAINT fk_agents_deal
        FOREIGN KEY (deal_id) REFERENCES rooms.deals (id) ON DELETE SET NULL
    """)

    op.execute("""
        CREATE TABLE rooms.messages (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            room_id UUID NOT NULL REFERENCES rooms.rooms (id) ON DELETE CASCADE,
            agent_id UUID NOT NULL REFERENCES rooms.agents (id),
            message_type VARCHAR(50) NOT NULL
                CHECK (message_type IN ('offer','counter','accept','reject','comment')),
            price_mentioned NUMERIC(10,2),
            sentiment VARCHAR(20) NOT NULL CHECK (sentiment IN ('positive','negative','neutral')),
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_messages_room ON rooms.messages (room_id)")
    op.execute("CREATE INDEX ix_messages_agent ON rooms.messages (agent_id)")
    op.execute("CREATE INDEX ix_messages_created_at ON rooms.messages (created_at)")

    op.execute("""
        CREATE TABLE rooms.agent_performance (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            agent_id UUID NOT NULL UNIQUE REFERENCES rooms.agents (id) ON DELETE CASCADE,
            deals_completed INTEGER NOT NULL DEFAULT 0,
            avg_negotiation_time INTEGER,
            success_rate NUMERIC(5,2) CHECK (success_rate >= 0 AND success_rate <= 100),
            total_messages INTEGER NOT NULL DEFAULT 0,
            last_active_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX ix_agent_performance_ranking ON rooms.agent_performance (deals_completed, agent_id)")

    for table in ("users", "nfts", "rooms", "swarms", "agents", "deals", "agent_performance"):
        create_updated_at_trigger(f"rooms.{table}")


def downgrade() -> None:
    op.execute("DROP TABLE rooms.agent_performance")
    op.execute("DROP TABLE rooms.messages")
    op.execute("ALTER TABLE rooms.agents DROP CONSTRAINT fk_agents_deal")
    op.execute("DROP TABLE rooms.deals")
    op.execute("DROP TABLE rooms.agents")
    op.execute("DROP TABLE rooms.swarms")
    op.execute("DROP TABLE rooms.rooms")
    op.execute("DROP TABLE rooms.nfts")
    op.execute("DROP TABLE rooms.users")
    drop_schema_if_empty("rooms")
