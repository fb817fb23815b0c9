"""The floor price and the top bid of every room, kept by the server; statistics over the agents of all users."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "rooms_0002"
down_revision = "rooms_0001"
branch_labels = None
depends_on = None

# Rooms are locked in the order of their ids, and only then counted: the second statement of a READ COMMITTED
# transaction sees what whoever held the lock committed. Their rows are written even where nothing comes out otherwise,
# so that a transaction that counts by an older snapshot fails to serialize instead of counting what was.
KEEP_PRICES = """
CREATE FUNCTION rooms._keep_prices(changed uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM FROM rooms.rooms r WHERE r.id = ANY (changed) ORDER BY r.id FOR NO KEY UPDATE;
    UPDATE rooms.rooms r SET
        floor_price = (
            SELECT min(a.starting_price) FROM rooms.agents a
            WHERE a.room_id = r.id AND a.status = 'active' AND a.role = 'seller'
        ),
        top_bid = (
            SELECT max(a.starting_price) FROM rooms.agents a
            WHERE a.room_id = r.id AND a.status = 'active' AND a.role = 'buyer'
        )
    WHERE r.id = ANY (changed);
END
$body$
"""

# One function a kind of statement: a transition table that its trigger does not have cannot be named.
AGENTS_INSERTED = """
CREATE FUNCTION rooms._agents_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    changed uuid[];
BEGIN
    SELECT array_agg(DISTINCT n.room_id) INTO changed FROM new_agents n WHERE n.status = 'active';
    IF changed IS NOT NULL THEN
        PERFORM rooms._keep_prices(changed);
    END IF;
    RETURN NULL;
END
$body$
"""

AGENTS_UPDATED = """
CREATE FUNCTION rooms._agents_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    changed uuid[];
BEGIN
    SELECT array_agg(DISTINCT room.id) INTO changed
    FROM old_agents o FULL JOIN new_agents n ON n.id = o.id
        CROSS JOIN LATERAL (VALUES (o.room_id), (n.room_id)) AS room (id)
    WHERE room.id IS NOT NULL AND (o.status = 'active' OR n.status = 'active')
        AND (o.room_id, o.role, o.status = 'active', o.starting_price)
            IS DISTINCT FROM (n.room_id, n.role, n.status = 'active', n.starting_price);
    IF changed IS NOT NULL THEN
        PERFORM rooms._keep_prices(changed);
    END IF;
    RETURN NULL;
END
$body$
"""

AGENTS_DELETED = """
CREATE FUNCTION rooms._agents_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    changed uuid[];
BEGIN
    SELECT array_agg(DISTINCT o.room_id) INTO changed FROM old_agents o WHERE o.status = 'active';
    IF changed IS NOT NULL THEN
        PERFORM rooms._keep_prices(changed);
    END IF;
    RETURN NULL;
END
$body$
"""

AGENTS_TRUNCATED = """
CREATE FUNCTION rooms._agents_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM rooms._keep_prices(ARRAY(SELECT r.id FROM rooms.rooms r));
    RETURN NULL;
END
$body$
"""

ROOM_STATISTICS = """
CREATE FUNCTION rooms.room_statistics(
    asked_room uuid, OUT buyers bigint, OUT sellers bigint, OUT floor_price numeric, OUT top_bid numeric
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT count(*) FILTER (WHERE a.role = 'buyer'),
        count(*) FILTER (WHERE a.role = 'seller'),
        min(a.starting_price) FILTER (WHERE a.role = 'seller'),
        max(a.starting_price) FILTER (WHERE a.role = 'buyer')
    FROM rooms.agents a
    WHERE a.room_id = asked_room AND a.status = 'active'
$body$
"""

AGENTS_BY_STATUS = """
CREATE FUNCTION rooms.agents_by_status(asked_room uuid) RETURNS TABLE (status text, agents bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
    IF asked_room IS NULL THEN
        RETURN QUERY SELECT a.status::text, count(*) FROM rooms.agents a GROUP BY a.status;
    ELSE
        RETURN QUERY
            SELECT a.status::text, count(*) FROM rooms.agents a WHERE a.room_id = asked_room GROUP BY a.status;
    END IF;
END
$body$
"""

DEALS_BY_STATUS = """
CREATE FUNCTION rooms.deals_by_status(asked_room uuid) RETURNS TABLE (status text, deals bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN
    IF asked_room IS NULL THEN
        RETURN QUERY SELECT d.status::text, count(*) FROM rooms.deals d GROUP BY d.status;
    ELSE
        RETURN QUERY
            SELECT d.status::text, count(*) FROM rooms.deals d WHERE d.room_id = asked_room GROUP BY d.status;
    END IF;
END
$body$
"""

# A page: what comes after (after_completed, after_agent), or the first one where these are NULL. It is compared and
# ordered as ix_agent_performance_ranking is, read backwards.
RANKING = """
CREATE FUNCTION rooms.ranking(asked_room uuid, after_completed integer, after_agent uuid, at_most integer)
RETURNS TABLE (
    agent_id uuid, name text, deals_completed integer, success_rate numeric, avg_negotiation_time integer
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
DECLARE
    below CONSTANT integer := coalesce(after_completed, 2147483647);
    beyond CONSTANT uuid := coalesce(after_agent, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    wanted CONSTANT integer := least(greatest(at_most, 1), 1001);
BEGIN
    IF asked_room IS NULL THEN
        RETURN QUERY
            SELECT p.agent_id, a.name::text, p.deals_completed, p.success_rate, p.avg_negotiation_time
            FROM rooms.agent_performance p JOIN rooms.agents a ON a.id = p.agent_id
            WHERE (p.deals_completed, p.agent_id) < (below, beyond)
            ORDER BY p.deals_completed DESC, p.agent_id DESC LIMIT wanted;
    ELSE
        RETURN QUERY
            SELECT p.agent_id, a.name::text, p.deals_completed, p.success_rate, p.avg_negotiation_time
            FROM rooms.agents a JOIN rooms.agent_performance p ON p.agent_id = a.id
            WHERE a.room_id = asked_room AND (p.deals_completed, p.agent_id) < (below, beyond)
            ORDER BY p.deals_completed DESC, p.agent_id DESC LIMIT wanted;
    END IF;
END
$body$
"""


def upgrade() -> None:
    for function in (KEEP_PRICES, AGENTS_INSERTED, AGENTS_UPDATED, AGENTS_DELETED, AGENTS_TRUNCATED):
        execute_verbatim(function)
    op.execute("""
        CREATE TRIGGER agents_inserted AFTER INSERT ON rooms.agents
        REFERENCING NEW TABLE AS new_agents
        FOR EACH STATEMENT EXECUTE FUNCTION rooms._agents_inserted()
    """)
    op.execute("""
        CREATE TRIGGER agents_updated AFTER UPDATE ON rooms.agents
        REFERENCING OLD TABLE AS old_agents NEW TABLE AS new_agents
        FOR EACH STATEMENT EXECUTE FUNCTION rooms._agents_updated()
    """)
    op.execute("""
        CREATE TRIGGER agents_deleted AFTER DELETE ON rooms.agents
        REFERENCING OLD TABLE AS old_agents
        FOR EACH STATEMENT EXECUTE FUNCTION rooms._agents_deleted()
    """)
    op.execute("""
        CREATE TRIGGER agents_truncated AFTER TRUNCATE ON rooms.agents
        FOR EACH STATEMENT EXECUTE FUNCTION rooms._agents_truncated()
    """)
    for function in (ROOM_STATISTICS, AGENTS_BY_STATUS, DEALS_BY_STATUS, RANKING):
        execute_verbatim(function)
    for signature in (
        "_keep_prices(uuid[])",
        "_agents_inserted()",
        "_agents_updated()",
        "_agents_deleted()",
        "_agents_truncated()",
        "room_statistics(uuid)",
        "agents_by_status(uuid)",
        "deals_by_status(uuid)",
        "ranking(uuid, integer, uuid, integer)",
    ):
        op.execute(f"REVOKE ALL ON FUNCTION rooms.{signature} FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION rooms.ranking(uuid, integer, uuid, integer)")
    op.execute("DROP FUNCTION rooms.deals_by_status(uuid)")
    op.execute("DROP FUNCTION rooms.agents_by_status(uuid)")
    op.execute("DROP FUNCTION rooms.room_statistics(uuid)")
    for event in ("inserted", "updated", "deleted", "truncated"):
        op.execute(f"DROP TRIGGER agents_{event} ON rooms.agents")
        op.execute(f"DROP FUNCTION rooms._agents_{event}()")
    op.execute("DROP FUNCTION rooms._keep_prices(uuid[])")
