"""Functions that reach rows of others: closed to all by default, safe from a search_path, open to who may call them."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest
import sqlalchemy as sa

from rooms_domain import AT, check_all, new_agent, new_deal, new_room, rooms_platform
from storekeeper.domains.rooms.entities import Agent, AgentPerformance, Deal, Message, Room
from storekeeper.domains.rooms.operations.dealing import agents_of_deal, complete, lock, verify
from storekeeper.domains.rooms.operations.placing import reprice
from storekeeper.domains.rooms.operations.statistics import agents_by_status, ranking, room_statistics
from storekeeper.domains.rooms.operations.talking import record_message
from storekeeper.domains.rooms.seed import seed
from storekeeper.domains.rooms.shapes import Consensus
from storekeeper.errors import PermissionDeniedError

FUNCTIONS = """
SELECT p.proname, p.prosecdef, p.prorettype = 'trigger'::regtype, p.proconfig,
    EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0) OR p.proacl IS NULL
FROM pg_proc p WHERE p.pronamespace = 'rooms'::regnamespace
"""


def test_every_function_is_closed_and_fixed(migrated_url: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        rows = connection.execute(FUNCTIONS).fetchall()
    assert len(rows) == 18
    for name, definer, trigger, config, public in rows:
        assert config == ["search_path=pg_catalog, pg_temp"], name
        assert not public, name
        # what is for services to call has a plain name, and is the owner's
        assert definer == (trigger or not name.startswith("_")), name


def test_services_of_two_users_deal_with_one_another(app_url: str, migrated_url: str) -> None:
    with rooms_platform(app_url) as platform, rooms_platform(migrated_url) as everything:
        room = new_room(platform)
        buyer, seller = new_agent(platform, room, "buyer", 8), new_agent(platform, room, "seller", 12)
        cheaper = new_agent(platform, room, "seller", 11)
        deal = new_deal(platform, buyer, seller)
        with platform.postgres.session(user_id=buyer.user_id) as session:
            assert lock(session, deal.id, at=AT).status == "locked"
            assert session.scalars(sa.select(Agent.id)).all() == [buyer.id]
            assert [one.status for one in agents_of_deal(session, deal.id)] == ["deal_locked"] * 2
            record_message(session, buyer.id, message_type="accept", sentiment="positive", at=AT)
            assert room_statistics(session, room.id).sellers == 1
        with platform.postgres.session(user_id=seller.user_id) as session:
            verify(session, deal.id, Consensus(nodes=4), at=AT)
            assert complete(session, deal.id, tx_hash="0x", block_number=1, at=AT).status == "completed"
            assert session.scalars(sa.select(AgentPerformance.agent_id)).all() == [seller.id]
            assert [rank.deals_completed for rank in ranking(session).items] == [1, 1]
            assert agents_by_status(session)["completed"] == 2
        with platform.postgres.session(user_id=cheaper.user_id) as session:
            reprice(session, cheaper.id, starting_price=Decimal("10.5"))
            found = session.execute(sa.select(Room.floor_price, Room.top_bid)).all()
            assert found == [(Decimal("10.5"), None)]
            assert session.scalars(sa.select(Deal.id)).all() == []
            assert session.scalars(sa.select(Message.id)).all() == []
        check_all(everything)


FORBIDDEN = (
    "UPDATE rooms.rooms SET floor_price = 1",
    "DELETE FROM rooms.rooms",
    "UPDATE rooms.agents SET status = 'completed'",
    "UPDATE rooms.agents SET deal_id = NULL",
    "UPDATE rooms.deals SET status = 'completed'",
    "INSERT INTO rooms.agent_performance (agent_id, deals_completed) SELECT id, 99 FROM rooms.agents",
    "INSERT INTO rooms.messages (room_id, agent_id, message_type, sentiment) "
    "SELECT room_id, id, 'offer', 'neutral' FROM rooms.agents",
    "UPDATE rooms.users SET wallet_address = 'x'",
    "SELECT rooms._keep_performance(gen_random_uuid(), now())",
)


def test_what_only_functions_write_no_service_writes(app_url: str) -> None:
    with rooms_platform(app_url) as platform:
        agent = new_agent(platform, new_room(platform), "buyer")
        for forbidden in FORBIDDEN:
            with pytest.raises(PermissionDeniedError), platform.postgres.session(user_id=agent.user_id) as session:
                session.execute(sa.text(forbidden))


def test_seeding_as_a_service(app_url: str) -> None:
    with rooms_platform(app_url) as platform, platform.postgres.session() as session:
        assert seed(session) == {"rooms.rooms": 2, "rooms.nfts": 35}
