"""What tests of the rooms domain's operations share: a platform over one migrated database, users, rooms and agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from storekeeper import AsyncPlatform, connect_async
from storekeeper.domains.rooms.agents import NewAgent
from storekeeper.domains.rooms.entities import Agent, Deal, Nft, Room
from storekeeper.domains.rooms.operations.dealing_async import propose
from storekeeper.domains.rooms.operations.placing_async import place
from storekeeper.domains.rooms.operations.signing_in_async import nonce_of, sign_in

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)

#: What the room's own columns hold, and what a recount of its active agents gives: equal, always.
RECOUNT = """
SELECT r.floor_price, r.top_bid,
    (SELECT min(starting_price) FROM rooms.agents WHERE room_id = r.id AND status = 'active' AND role = 'seller'),
    (SELECT max(starting_price) FROM rooms.agents WHERE room_id = r.id AND status = 'active' AND role = 'buyer')
FROM rooms.rooms r
"""
#: Agents that more than one deal holds, or whose status says otherwise than their deals do.
WRONGLY_HELD = """
SELECT a.id FROM rooms.agents a
WHERE (SELECT count(*) FROM rooms.deals d WHERE a.id IN (d.buyer_agent_id, d.seller_agent_id)
        AND d.status IN ('locked', 'verifying')) <> CASE a.status WHEN 'deal_locked' THEN 1 ELSE 0 END
    OR (a.status IN ('deal_locked', 'completed')) <> (a.deal_id IS NOT NULL)
"""


@asynccontextmanager
async def rooms_platform(url: str) -> AsyncIterator[AsyncPlatform]:
    """The relational store of a migrated database."""
    async with connect_async(stores=("postgres",), postgres_url=url, timescale_url=url) as platform:
        yield platform


async def new_user(platform: AsyncPlatform) -> UUID:
    """A user with a wallet of its own, signed in once."""
    wallet = f"0x{uuid4().hex}{uuid4().hex[:8]}"
    async with platform.postgres.session() as session:
        return await sign_in(session, wallet, await nonce_of(session, wallet))


async def new_room(platform: AsyncPlatform, **fields: Any) -> Room:
    """A room of its own collection."""
    async with platform.postgres.session() as session:
        room = Room(**{"name": "Apes", "collection": uuid4().hex, **fields})
        session.add(room)
    return room


async def new_nft(platform: AsyncPlatform, collection: str = "Apes") -> UUID:
    """A token that nobody lists."""
    async with platform.postgres.session() as session:
        nft = Nft(id=uuid4(), collection=collection, token_id=uuid4().hex, name="Ape")
        session.add(nft)
    return nft.id


async def new_agent(
    platform: AsyncPlatform, room: Room, role: str, starting_price: Decimal | int | str = 10, **fields: Any
) -> Agent:
    """An agent, of a user of its own where none is given; a seller lists an NFT of its own."""
    user_id = fields.pop("user_id", None) or await new_user(platform)
    if role == "seller":
        fields.setdefault("nft_id", await new_nft(platform))
    wanted = NewAgent(**{"name": role.title(), "role": role, "starting_price": Decimal(starting_price), **fields})
    async with platform.postgres.session(user_id=user_id) as session:
        return await place(session, user_id, room.id, wanted)


async def new_deal(platform: AsyncPlatform, buyer: Agent, seller: Agent, price: Decimal | int = 10) -> Deal:
    """A pending deal, proposed by the buyer's user."""
    async with platform.postgres.session(user_id=buyer.user_id) as session:
        return await propose(session, buyer_agent_id=buyer.id, seller_agent_id=seller.id, final_price=Decimal(price))


async def agents_now(platform: AsyncPlatform) -> dict[UUID, tuple[str, UUID | None]]:
    """The status of every agent, and the deal that it is held by."""
    async with platform.postgres.session() as session:
        rows = await session.execute(sa.select(Agent.id, Agent.status, Agent.deal_id))
        return {row.id: (row.status, row.deal_id) for row in rows}


async def rows_of(platform: AsyncPlatform, query: str) -> list[tuple[Any, ...]]:
    """What a query gives to whoever sees all rows."""
    async with platform.postgres.session() as session:
        return [tuple(row) for row in await session.execute(sa.text(query))]


async def check_all(platform: AsyncPlatform) -> None:
    """What holds at any moment: prices of rooms as recounted, one deal at a time per agent."""
    for floor, top, counted_floor, counted_top in await rows_of(platform, RECOUNT):
        assert (floor, top) == (counted_floor, counted_top)
    assert await rows_of(platform, WRONGLY_HELD) == []
