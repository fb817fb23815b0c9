"""Agents and swarms come into rooms, and a room's prices follow them, whoever writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa

from rooms_domain_async import AT, RECOUNT, check_all, new_agent, new_nft, new_room, new_user, rooms_platform
from storekeeper import AsyncPlatform, NotFoundError
from storekeeper.domains.rooms.agents import NewSwarm, planned
from storekeeper.domains.rooms.entities import Room, Swarm
from storekeeper.domains.rooms.errors import RoomNotOpenError, StateError
from storekeeper.domains.rooms.operations.placing_async import move_room, move_swarm, place_swarm, reprice
from storekeeper.domains.rooms.operations.statistics_async import RoomStatistics, room_statistics
from storekeeper.domains.rooms.operations.talking_async import bring_back, negotiate, stop_negotiating
from storekeeper.errors import UniqueError


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with rooms_platform(migrated_url) as opened:
        yield opened


async def statistics(platform: AsyncPlatform, room: Room) -> RoomStatistics:
    await check_all(platform)
    async with platform.postgres.session() as session:
        return await room_statistics(session, room.id)


@pytest.mark.asyncio
async def test_statistics_are_of_active_agents_alone(platform: AsyncPlatform) -> None:
    room, other = await new_room(platform), await new_room(platform)
    assert await statistics(platform, room) == RoomStatistics(0, 0, None, None)
    for role, price in (("buyer", "7.5"), ("buyer", 9), ("seller", 12), ("seller", "11.99")):
        agent = await new_agent(platform, room, role, price)
    await new_agent(platform, other, "seller", 1)
    assert await statistics(platform, room) == RoomStatistics(2, 2, Decimal("11.99"), Decimal(9))

    async with platform.postgres.session(user_id=agent.user_id) as session:
        await negotiate(session, agent.id)
    assert await statistics(platform, room) == RoomStatistics(2, 1, Decimal(12), Decimal(9))
    async with platform.postgres.session(user_id=agent.user_id) as session:
        await stop_negotiating(session, agent.id)
        with pytest.raises(StateError):
            await bring_back(session, agent.id)
    async with platform.postgres.session(user_id=agent.user_id) as session:
        await reprice(session, agent.id, starting_price=Decimal("13.37"), min_price=Decimal(1))
    assert await statistics(platform, room) == RoomStatistics(2, 2, Decimal(12), Decimal(9))
    with pytest.raises(NotFoundError):
        await statistics(platform, Room(id=uuid4()))


CHANGES = (
    "UPDATE rooms.agents SET starting_price = starting_price * 2",
    "UPDATE rooms.agents SET status = 'negotiating' WHERE role = 'seller'",
    "UPDATE rooms.agents SET room_id = (SELECT id FROM rooms.rooms WHERE name = 'Cats')",
    "UPDATE rooms.agents SET id = gen_random_uuid(), starting_price = 3",
    "UPDATE rooms.agents SET role = 'seller'",
    "DELETE FROM rooms.agents WHERE starting_price < 7",
    "TRUNCATE rooms.agents CASCADE",
    "INSERT INTO rooms.agents (user_id, room_id, name, role, strategy, communication_style, starting_price) "
    "SELECT user_id, room_id, 'twin', role, strategy, communication_style, starting_price / 2 FROM rooms.agents",
    "MERGE INTO rooms.agents a USING rooms.rooms r ON a.room_id = r.id WHEN MATCHED AND a.role = 'buyer' THEN "
    "UPDATE SET starting_price = 99 WHEN MATCHED THEN DELETE",
    "DELETE FROM rooms.rooms WHERE name = 'Apes'",
)


@pytest.mark.asyncio
async def test_prices_follow_raw_sql_too(platform: AsyncPlatform) -> None:
    for room in (await new_room(platform), await new_room(platform, name="Cats")):
        for role, price in (("buyer", 4), ("buyer", 6), ("seller", 8), ("seller", 10)):
            await new_agent(platform, room, role, price, nft_id=None)
    for change in CHANGES:
        async with platform.postgres.session() as session:
            before = (await session.execute(sa.text(RECOUNT))).all()
            assert set(before) == {(Decimal(8), Decimal(6), Decimal(8), Decimal(6))}
            attempt = await session.begin_nested()
            await session.execute(sa.text(change))
            after = (await session.execute(sa.text(RECOUNT))).all()
            await attempt.rollback()
            assert after != before, change
            assert [row[:2] for row in after] == [row[2:] for row in after], change


@pytest.mark.asyncio
async def test_a_swarm_is_placed_whole_or_not_at_all(platform: AsyncPlatform) -> None:
    room, user_id = await new_room(platform), await new_user(platform)
    nft_ids = tuple([await new_nft(platform) for _ in range(3)])
    wanted = NewSwarm(preset="balanced_market", lowest=Decimal(5), highest=Decimal(15), nft_ids=nft_ids)
    async with platform.postgres.session(user_id=user_id) as session:
        swarm = await place_swarm(session, user_id, room.id, wanted)
        assert (swarm.total_agents, len(swarm.agents), swarm.status) == (20, 20, "running")
    assert await statistics(platform, room) == RoomStatistics(10, 10, Decimal(5), Decimal(15))
    with pytest.raises(UniqueError):
        async with platform.postgres.session(user_id=user_id) as session:
            await place_swarm(session, user_id, room.id, wanted)
    assert await statistics(platform, room) == RoomStatistics(10, 10, Decimal(5), Decimal(15))
    async with platform.postgres.session(user_id=user_id) as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Swarm)) == 1
        assert (await move_swarm(session, swarm.id, "paused", at=AT)).completed_at is None
        assert (await move_swarm(session, swarm.id, "completed", at=AT)).completed_at == AT
        with pytest.raises(StateError):
            await move_swarm(session, swarm.id, "running", at=AT)


@pytest.mark.asyncio
async def test_a_closed_room_stays_closed(platform: AsyncPlatform) -> None:
    room = await new_room(platform)
    for status in ("paused", "active", "paused", "closed"):
        async with platform.postgres.session() as session:
            assert (await move_room(session, room.id, status)).status == status
        if status != "active":
            with pytest.raises(RoomNotOpenError):
                await new_agent(platform, room, "buyer")
    async with platform.postgres.session() as session:
        with pytest.raises(StateError):
            await move_room(session, room.id, "active")
        with pytest.raises(NotFoundError):
            await move_room(session, uuid4(), "active")


def test_a_swarm_as_planned_is_the_same_every_time() -> None:
    wanted = NewSwarm(preset="small_test", lowest=Decimal(1), highest=Decimal(2))
    assert planned(wanted) == planned(wanted)
