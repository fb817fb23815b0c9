"""Query plans that matter: a room's prices, the newest deals of a user and the ranking are found by index."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from rooms_domain import rooms_platform
from storekeeper import Platform
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.operations.statistics import ranking, room_statistics

#: 40 rooms, 400 users with 40 agents and 20 deals each; half of the agents are active, each has a performance.
ROWS = """
INSERT INTO rooms.users (wallet_address, nonce)
SELECT '0x' || lpad(to_hex(n), 40, '0'), 'x' FROM generate_series(1, 400) n;
INSERT INTO rooms.rooms (name, collection) SELECT 'Room ' || n, 'Apes' FROM generate_series(1, 40) n;
INSERT INTO rooms.nfts (collection, token_id, name) VALUES ('Apes', '1', 'Ape');
ALTER TABLE rooms.agents DISABLE TRIGGER USER;
INSERT INTO rooms.agents (user_id, room_id, name, role, status, strategy, communication_style, starting_price)
SELECT u.id, r.id, 'Agent', CASE n % 2 WHEN 0 THEN 'buyer' ELSE 'seller' END,
    CASE WHEN n < 3 THEN 'active' ELSE 'completed' END, 'patient', 'casual', 1 + n
FROM (SELECT id, row_number() OVER () AS number FROM rooms.users) u
    JOIN (SELECT id, row_number() OVER () AS number FROM rooms.rooms) r ON r.number % 4 = u.number % 4
    CROSS JOIN generate_series(1, 4) n;
ALTER TABLE rooms.agents ENABLE TRIGGER USER;
INSERT INTO rooms.deals
    (room_id, buyer_agent_id, seller_agent_id, buyer_user_id, seller_user_id, nft_id, final_price, created_at)
SELECT b.room_id, b.id, b.id, b.user_id, b.user_id, (SELECT id FROM rooms.nfts), 1,
    now() - random() * interval '90 days'
FROM (SELECT * FROM rooms.agents WHERE role = 'buyer') b;
INSERT INTO rooms.agent_performance (agent_id, deals_completed)
SELECT id, (random() * 50)::integer FROM rooms.agents;
ANALYZE rooms.users, rooms.rooms, rooms.agents, rooms.deals, rooms.agent_performance;
"""


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with psycopg.connect(migrated_url, autocommit=True) as psql:
        psql.execute(ROWS.encode())
    with rooms_platform(migrated_url) as opened:
        yield opened


def first(session: Session, table: str) -> UUID:
    found: UUID = session.execute(sa.text(f"SELECT id FROM rooms.{table} LIMIT 1")).scalar_one()
    return found


def scans(session: Session) -> dict[str, tuple[int, int]]:
    """How often this transaction has read each table from end to end, and how many rows it took by index."""
    rows = session.execute(
        sa.text("SELECT relname, seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE schemaname = 'rooms'")
    )
    return {row.relname: (row.seq_scan, row.idx_tup_fetch or 0) for row in rows}


def test_the_three_plans_that_matter(platform: Platform) -> None:
    with platform.postgres.session() as session:
        room_id, user_id = first(session, "rooms"), first(session, "users")

    # a function's plan does not show in EXPLAIN, but what it read is counted
    with platform.postgres.session() as session:
        room_statistics(session, room_id)
        read = scans(session)["agents"]
        assert read[0] == 0
        assert 0 < read[1] <= 200, "active agents of this room, and no others"
        # a change of one agent recounts its room, and no other
        session.execute(
            sa.text(
                "UPDATE rooms.agents SET starting_price = 5 WHERE id = "
                "(SELECT id FROM rooms.agents WHERE room_id = :room AND status = 'active' LIMIT 1)"
            ),
            {"room": room_id},
        )
        assert scans(session)["agents"][0] == 0

    with platform.postgres.session() as session:
        start = ranking(session, limit=20)
        ranking(session, after=start.next, limit=20)
        found = scans(session)
        assert found["agent_performance"][0] == found["agents"][0] == 0
        # two pages of twenty, and what a join reads ahead
        assert found["agent_performance"][1] <= 100

    with platform.postgres.session() as session:
        statement = queries.deals_of(user_id).order_by(*queries.DEALS_ORDER).limit(20)
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        text = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        plan = "\n".join(session.execute(sa.text(f"EXPLAIN {text}")).scalars())
        assert "ix_deals_buyer_user" in plan
        assert "ix_deals_seller_user" in plan
        assert "Seq Scan on deals" not in plan
