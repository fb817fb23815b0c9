"""What reaches rows of more than the current user: signing in, deals, messages and what is counted of both.

The functions act for the user that `app.current_user_id` names in the transaction, and tell by their result why they
refuse. They lock in one order: the room, the agents by id, the deal.
"""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "rooms_0003"
down_revision = "rooms_0002"
branch_labels = None
depends_on = None

CURRENT_USER = """
CREATE FUNCTION rooms._acting_user() RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT CAST(nullif(current_setting('app.current_user_id', true), '') AS uuid)
$body$
"""

# The nonce that a wallet is to sign next; a wallet that was never seen gets a user, with the nonce that is handed in.
SIGN_IN_NONCE = """
CREATE FUNCTION rooms.sign_in_nonce(asked_wallet text, fresh_nonce text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    known text;
BEGIN
    IF asked_wallet !~ '^0x[0-9a-f]{40}$' OR length(fresh_nonce) < 16 THEN
        RAISE EXCEPTION 'a wallet is 0x and 40 hexadecimal digits in lower case, a nonce has 16 characters or more'
        USING ERRCODE = '22023';
    END IF;
    SELECT u.nonce INTO known FROM rooms.users u WHERE u.wallet_address = asked_wallet;
    IF known IS NULL THEN
        INSERT INTO rooms.users (wallet_address, nonce) VALUES (asked_wallet, fresh_nonce)
        ON CONFLICT (wallet_address) DO NOTHING;
        SELECT u.nonce INTO known FROM rooms.users u WHERE u.wallet_address = asked_wallet;
    END IF;
    RETURN known;
END
$body$
"""

# The user whose wallet signed this nonce, once: whoever comes second finds another nonce there, and gets NULL.
USE_NONCE = """
CREATE FUNCTION rooms.use_nonce(asked_wallet text, signed_nonce text, fresh_nonce text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    signed_in uuid;
BEGIN
    IF length(fresh_nonce) < 16 OR fresh_nonce = signed_nonce THEN
        RAISE EXCEPTION 'a fresh nonce has 16 characters or more, and is another one' USING ERRCODE = '22023';
    END IF;
    UPDATE rooms.users u SET nonce = fresh_nonce
    WHERE u.wallet_address = asked_wallet AND u.nonce = signed_nonce
    RETURNING u.id INTO signed_in;
    RETURN signed_in;
END
$body$
"""

# Takes no lock: what it checks is checked again when the deal is locked.
PROPOSE_DEAL = """
CREATE FUNCTION rooms.propose_deal(
    buyer_agent uuid, seller_agent uuid, asked_price numeric, OUT refusal text, OUT proposed uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    acting CONSTANT uuid := rooms._acting_user();
    buyer rooms.agents;
    seller rooms.agents;
BEGIN
    SELECT * INTO buyer FROM rooms.agents a WHERE a.id = buyer_agent AND a.role = 'buyer';
    SELECT * INTO seller FROM rooms.agents a WHERE a.id = seller_agent AND a.role = 'seller';
    IF buyer.id IS NULL OR seller.id IS NULL OR acting IS NULL OR acting NOT IN (buyer.user_id, seller.user_id) THEN
        refusal := 'unknown';
    ELSIF buyer.room_id <> seller.room_id THEN
        refusal := 'rooms';
    ELSIF NOT EXISTS (SELECT FROM rooms.rooms r WHERE r.id = buyer.room_id AND r.status = 'active') THEN
        refusal := 'room';
    ELSIF buyer.status NOT IN ('active', 'negotiating') OR seller.status NOT IN ('active', 'negotiating') THEN
        refusal := 'busy';
    ELSIF seller.nft_id IS NULL THEN
        refusal := 'nothing';
    ELSIF asked_price < seller.min_price OR asked_price > buyer.max_price THEN
        refusal := 'price';
    ELSE
        INSERT INTO rooms.deals
            (room_id, buyer_agent_id, seller_agent_id, buyer_user_id, seller_user_id, nft_id, final_price)
        VALUES (buyer.room_id, buyer.id, seller.id, buyer.user_id, seller.user_id, seller.nft_id, asked_price)
        RETURNING id INTO proposed;
    END IF;
END
$body$
"""

# The caller holds the agent's row. Counted anew from its deals, which are few and found by index: so it is true
# whatever became of them meanwhile.
KEEP_PERFORMANCE = """
CREATE FUNCTION rooms._keep_performance(of_agent uuid, moment timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $body$
    INSERT INTO rooms.agent_performance AS p
        (agent_id, deals_completed, success_rate, avg_negotiation_time, last_active_at)
    SELECT of_agent, ended.completed, round(100.0 * ended.completed / nullif(ended.completed + ended.failed, 0), 2),
        CAST(round(ended.seconds) AS integer), moment
    FROM (
        SELECT count(*) FILTER (WHERE d.status = 'completed') AS completed,
            count(*) FILTER (WHERE d.status = 'failed') AS failed,
            -- the clocks of the server and of the service may differ
            avg(greatest(extract(epoch FROM d.completed_at - d.created_at), 0))
                FILTER (WHERE d.status = 'completed') AS seconds
        FROM rooms.deals d
        WHERE d.buyer_agent_id = of_agent OR d.seller_agent_id = of_agent
    ) ended
    ON CONFLICT (agent_id) DO UPDATE SET
        deals_completed = EXCLUDED.deals_completed,
        success_rate = EXCLUDED.success_rate,
        avg_negotiation_time = EXCLUDED.avg_negotiation_time,
        last_active_at = greatest(p.last_active_at, EXCLUDED.last_active_at)
$body$
"""

MOVE_DEAL = """
CREATE FUNCTION rooms.move_deal(
    asked_deal uuid, target text, moment timestamptz, vote jsonb, hash text, block bigint,
    OUT refusal text, OUT was text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    acting CONSTANT uuid := rooms._acting_user();
    deal rooms.deals;
    room_status text;
    free bigint;
BEGIN
    SELECT * INTO deal FROM rooms.deals d
    WHERE d.id = asked_deal AND acting IN (d.buyer_user_id, d.seller_user_id);
    IF NOT FOUND THEN
        refusal := 'unknown';
        RETURN;
    END IF;
    SELECT r.status INTO room_status FROM rooms.rooms r WHERE r.id = deal.room_id FOR NO KEY UPDATE;
    PERFORM FROM rooms.agents a
    WHERE a.id IN (deal.buyer_agent_id, deal.seller_agent_id) ORDER BY a.id FOR NO KEY UPDATE;
    SELECT * INTO deal FROM rooms.deals d WHERE d.id = asked_deal FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        refusal := 'unknown';
        RETURN;
    END IF;
    was := deal.status;
    IF (deal.status, target) NOT IN (
        ('pending', 'locked'), ('locked', 'verifying'), ('verifying', 'completed'),
        ('pending', 'failed'), ('locked', 'failed'), ('verifying', 'failed')
    ) THEN
        refusal := 'state';
        RETURN;
    END IF;

    IF target = 'locked' THEN
        SELECT count(*) INTO free FROM rooms.agents a
        WHERE a.status IN ('active', 'negotiating') AND a.room_id = deal.room_id
            AND (a.id = deal.buyer_agent_id AND a.role = 'buyer'
                OR a.id = deal.seller_agent_id AND a.role = 'seller' AND a.nft_id = deal.nft_id)
            AND NOT EXISTS (
                SELECT FROM rooms.deals other
                WHERE (other.buyer_agent_id = a.id OR other.seller_agent_id = a.id)
                    AND other.status IN ('locked', 'verifying')
            );
        IF room_status <> 'active' THEN
            refusal := 'room';
            RETURN;
        ELSIF free < 2 THEN
            refusal := 'busy';
            RETURN;
        ELSIF EXISTS (
            SELECT FROM rooms.agents a
            WHERE a.id = deal.seller_agent_id AND deal.final_price < a.min_price
                OR a.id = deal.buyer_agent_id AND deal.final_price > a.max_price
        ) THEN
            refusal := 'price';
            RETURN;
        END IF;
    END IF;

    UPDATE rooms.deals d SET
        status = target,
        locked_at = CASE target WHEN 'locked' THEN moment ELSE d.locked_at END,
        verified_at = CASE target WHEN 'verifying' THEN moment ELSE d.verified_at END,
        completed_at = CASE target WHEN 'completed' THEN moment ELSE d.completed_at END,
        consensus_result = coalesce(vote, d.consensus_result),
        tx_hash = coalesce(hash, d.tx_hash),
        block_number = coalesce(block, d.block_number)
    WHERE d.id = deal.id;
    IF target = 'locked' THEN
        UPDATE rooms.agents a SET status = 'deal_locked', deal_id = deal.id
        WHERE a.id IN (deal.buyer_agent_id, deal.seller_agent_id);
    ELSIF target = 'completed' THEN
        UPDATE rooms.agents a SET status = 'completed' WHERE a.deal_id = deal.id;
    ELSIF target = 'failed' THEN
        UPDATE rooms.agents a SET status = 'active', deal_id = NULL WHERE a.deal_id = deal.id;
    END IF;
    IF target IN ('completed', 'failed') THEN
        PERFORM rooms._keep_performance(deal.buyer_agent_id, moment);
        PERFORM rooms._keep_performance(deal.seller_agent_id, moment);
    END IF;
END
$body$
"""

# An agent of the current user: between active and negotiating, or from completed back to active, with what it lists.
MOVE_AGENT = """
CREATE FUNCTION rooms.move_agent(
    asked_agent uuid, origin text, target text, listed_nft uuid, OUT refusal text, OUT was text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    acting CONSTANT uuid := rooms._acting_user();
    agent rooms.agents;
BEGIN
    SELECT * INTO agent FROM rooms.agents a WHERE a.id = asked_agent AND a.user_id = acting;
    IF NOT FOUND THEN
        refusal := 'unknown';
        RETURN;
    END IF;
    PERFORM FROM rooms.rooms r WHERE r.id = agent.room_id FOR NO KEY UPDATE;
    SELECT * INTO agent FROM rooms.agents a WHERE a.id = asked_agent AND a.user_id = acting FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        refusal := 'unknown';
        RETURN;
    END IF;
    was := agent.status;
    IF agent.status <> origin
        OR (origin, target) NOT IN (('active', 'negotiating'), ('negotiating', 'active'), ('completed', 'active'))
    THEN
        refusal := 'state';
    ELSIF origin = 'completed' THEN
        UPDATE rooms.agents a SET status = target, deal_id = NULL, nft_id = listed_nft WHERE a.id = agent.id;
    ELSE
        UPDATE rooms.agents a SET status = target WHERE a.id = agent.id;
    END IF;
END
$body$
"""

RECORD_MESSAGE = """
CREATE FUNCTION rooms.record_message(
    asked_agent uuid, kind text, price numeric, mood text, moment timestamptz
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    said_in uuid;
    recorded uuid;
BEGIN
    UPDATE rooms.agents a SET messages_sent = a.messages_sent + 1
    WHERE a.id = asked_agent AND a.user_id = rooms._acting_user()
    RETURNING a.room_id INTO said_in;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO rooms.messages (room_id, agent_id, message_type, price_mentioned, sentiment)
    VALUES (said_in, asked_agent, kind, price, mood) RETURNING id INTO recorded;
    INSERT INTO rooms.agent_performance AS p (agent_id, total_messages, last_active_at)
    VALUES (asked_agent, 1, moment)
    ON CONFLICT (agent_id) DO UPDATE SET
        total_messages = p.total_messages + 1,
        last_active_at = greatest(p.last_active_at, EXCLUDED.last_active_at);
    RETURN recorded;
END
$body$
"""

# Both agents of a deal of the current user's, without the limits and the strategy that each keeps to itself.
DEAL_AGENTS = """
CREATE FUNCTION rooms.deal_agents(asked_deal uuid)
RETURNS TABLE (
    agent_id uuid, role text, name text, avatar text, status text, communication_style text, starting_price numeric
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT a.id, a.role::text, a.name::text, a.avatar::text, a.status::text, a.communication_style::text,
        a.starting_price
    FROM rooms.deals d JOIN rooms.agents a ON a.id IN (d.buyer_agent_id, d.seller_agent_id)
    WHERE d.id = asked_deal AND rooms._acting_user() IN (d.buyer_user_id, d.seller_user_id)
    ORDER BY a.role
$body$
"""

FUNCTIONS = (
    (CURRENT_USER, "_acting_user()"),
    (SIGN_IN_NONCE, "sign_in_nonce(text, text)"),
    (USE_NONCE, "use_nonce(text, text, text)"),
    (PROPOSE_DEAL, "propose_deal(uuid, uuid, numeric)"),
    (KEEP_PERFORMANCE, "_keep_performance(uuid, timestamptz)"),
    (MOVE_DEAL, "move_deal(uuid, text, timestamptz, jsonb, text, bigint)"),
    (MOVE_AGENT, "move_agent(uuid, text, text, uuid)"),
    (RECORD_MESSAGE, "record_message(uuid, text, numeric, text, timestamptz)"),
    (DEAL_AGENTS, "deal_agents(uuid)"),
)


def upgrade() -> None:
    for text, signature in FUNCTIONS:
        execute_verbatim(text)
        op.execute(f"REVOKE ALL ON FUNCTION rooms.{signature} FROM PUBLIC")


def downgrade() -> None:
    for _, signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION rooms.{signature}")
