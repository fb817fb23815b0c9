"""Listings and the seed: pages hold each row once, and no listing asks once a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from rooms_domain import AT, new_agent, new_deal, new_room, new_user, rooms_platform
from storekeeper import InputError, Platform, page
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.agents import NewSwarm
from storekeeper.domains.rooms.entities import Agent, Deal, Nft, Room, Swarm
from storekeeper.domains.rooms.operations.dealing import complete, fail, lock, verify
from storekeeper.domains.rooms.operations.placing import place_swarm
from storekeeper.domains.rooms.operations.statistics import Rank, ranking
from storekeeper.domains.rooms.operations.talking import record_message
from storekeeper.domains.rooms.seed import seed
from storekeeper.domains.rooms.shapes import Consensus


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with rooms_platform(migrated_url) as opened:
        yield opened


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """What is sent to the server within the block."""
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    connection = session.connection()
    sa.event.listen(connection, "before_cursor_execute", note)
    yield sent
    sa.event.remove(connection, "before_cursor_execute", note)


def test_two_rooms_and_thirty_five_nfts_once(platform: Platform) -> None:
    for made in ({"rooms.rooms": 2, "rooms.nfts": 35}, {"rooms.rooms": 0, "rooms.nfts": 0}):
        with platform.postgres.session() as session:
            assert seed(session) == made
    with platform.postgres.session() as session:
        assert session.execute(sa.select(Room.name, Room.collection).order_by(Room.name)).all() == [
            ("BAYC", "BAYC"),
            ("Cool Cats", "Cool Cats"),
        ]
        counted = sa.select(Nft.collection, sa.func.count()).group_by(Nft.collection).order_by(Nft.collection)
        assert session.execute(counted).all() == [("BAYC", 25), ("Cool Cats", 10)]
        names = set(session.scalars(sa.select(Nft.name)))
        assert {"Bored Ape Yacht Club #0", "Bored Ape Yacht Club #24", "Cool Cat #9"} <= names
        assert len(names) == 35
        assert session.scalar(sa.select(sa.func.count()).select_from(Agent)) == 0
        assert session.scalar(sa.select(sa.func.count()).select_from(Deal)) == 0


def test_no_listing_asks_once_a_row(platform: Platform) -> None:
    room, user_id = new_room(platform), new_user(platform)
    with platform.postgres.session(user_id=user_id) as session:
        seed(session)
        nft_ids = tuple(session.scalars(sa.select(Nft.id)))[:5]
        swarm = NewSwarm(preset="balanced_market", lowest=AMOUNT, highest=AMOUNT, nft_ids=nft_ids)
        agents = place_swarm(session, user_id, room.id, swarm).agents
    buyers = [agent for agent in agents if agent.role == "buyer"]
    sellers = [agent for agent in agents if agent.nft_id is not None]
    deals = [new_deal(platform, buyer, seller, AMOUNT) for buyer in buyers[:3] for seller in sellers]
    assert len(deals) == 15
    with platform.postgres.session(user_id=user_id) as session:
        for _ in range(5):
            record_message(session, agents[0].id, message_type="offer", sentiment="neutral", at=AT)

    listings: dict[str, tuple[sa.Select[Any], Any, int]] = {
        "rooms": (queries.rooms("active"), queries.ROOMS_ORDER, 3),
        "nfts": (queries.nfts("BAYC"), queries.NFTS_ORDER, 25),
        "agents": (queries.agents_of(user_id, room.id), queries.AGENTS_ORDER, 20),
        "deals": (queries.deals_of(user_id), queries.DEALS_ORDER, 15),
        "swarms": (queries.swarms_of(user_id), queries.SWARMS_ORDER, 1),
        "messages": (queries.messages_of(agents[0].id), queries.MESSAGES_ORDER, 5),
    }
    for name, (statement, order, rows) in listings.items():
        with platform.postgres.session(user_id=user_id) as session, statements(session) as sent:
            whole = page(session, statement, by=order, limit=50)
            for item in whole.items:
                shown(item)
            assert (len(whole.items), whole.next, len(sent)) == (rows, None, 1), name
        with platform.postgres.session(user_id=user_id) as session:
            seen: list[UUID] = []
            after = None
            while True:
                part = page(session, statement, by=order, after=after, limit=4)
                seen += [item.id for item in part.items]
                if (after := part.next) is None:
                    break
            assert seen == [item.id for item in whole.items], name


AMOUNT = Decimal(10)


def shown(item: object) -> str:
    """What a listing shows of an item, its neighbours included."""
    if isinstance(item, Agent):
        performance = item.performance
        return f"{item.name} {item.room.name} {item.nft and item.nft.name} {performance and performance.total_messages}"
    if isinstance(item, Deal):
        return f"{item.room.name} {item.nft.name} {item.final_price}"
    return f"{item.room.name}" if isinstance(item, Swarm) else repr(item)


def test_what_was_not_named_is_not_loaded(platform: Platform) -> None:
    agent = new_agent(platform, new_room(platform), "buyer")
    with platform.postgres.session() as session:
        found = session.get_one(Agent, agent.id)
        for name in list(sa.inspect(Agent).relationships.keys()):
            with pytest.raises(InvalidRequestError):
                getattr(found, name)


def test_the_ranking_page_by_page(platform: Platform) -> None:
    room = new_room(platform)
    agents = []
    for ending in (*("complete",) * 3, "fail"):
        buyer, seller = new_agent(platform, room, "buyer"), new_agent(platform, room, "seller")
        deal = new_deal(platform, buyer, seller)
        with platform.postgres.session(user_id=buyer.user_id) as session:
            lock(session, deal.id, at=deal.created_at)
            verify(session, deal.id, Consensus(), at=deal.created_at)
            if ending == "complete":
                complete(session, deal.id, tx_hash="0x", block_number=1, at=deal.created_at)
            else:
                fail(session, deal.id, at=deal.created_at)
        agents += [buyer, seller]
    for asked in (None, room.id):
        with platform.postgres.session() as session:
            whole = ranking(session, asked)
            assert whole.next is None
            order = [(rank.deals_completed, rank.agent_id.int) for rank in whole.items]
            assert order == sorted(order, reverse=True)
            assert [rank.deals_completed for rank in whole.items] == [1] * 6 + [0] * 2
            assert {rank.agent_id for rank in whole.items} == {agent.id for agent in agents}
            assert {(r.name, r.success_rate, r.avg_negotiation_time) for r in whole.items[:6]} == {
                ("Buyer", Decimal(100), 0),
                ("Seller", Decimal(100), 0),
            }
            seen: list[Rank] = []
            after = None
            while True:
                part = ranking(session, asked, after=after, limit=3)
                seen += part.items
                if (after := part.next) is None:
                    break
            assert tuple(seen) == whole.items
            for cursor in ("", "1", "x.y", f"{'9' * 30}.{agents[0].id}"):
                with pytest.raises(InputError):
                    ranking(session, asked, after=cursor)
            with pytest.raises(InputError):
                ranking(session, asked, limit=0)
    with platform.postgres.session() as session:
        assert ranking(session, new_room(platform).id).items == ()
