# Generated from test_placing_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Agents and swarms come into rooms, and a room's prices follow them, whoever writes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa

from rooms_domain import AT, RECOUNT, check_all, new_agent, new_nft, new_room, new_user, rooms_platform
from storekeeper import NotFoundError, Platform
from storekeeper.domains.rooms.agents import NewSwarm, planned
from storekeeper.domains.rooms.entities import Room, Swarm
from storekeeper.domains.rooms.errors import RoomNotOpenError, StateError
from storekeeper.domains.rooms.operations.placing import move_room, move_swarm, place_swarm, reprice
from storekeeper.domains.rooms.operations.statistics import RoomStatistics, room_statistics
from storekeeper.domains.rooms.operations.talking import bring_back, negotiate, stop_negotiating
from storekeeper.errors import UniqueError


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with rooms_platform(migrated_url) as opened:
        yield opened


def statistics(platform: Platform, room: Room) -> RoomStatistics:
    check_all(platform)
    with platform.postgres.session() as session:
        return room_statistics(session, room.id)


def test_statistics_are_of_active_agents_alone(platform: Platform) -> None:
    room, other = new_room(platform), new_room(platform)
    assert statistics(platform, room) == RoomStatistics(0, 0, None, None)
    for role, price in (("buyer", "7.5"), ("buyer", 9), ("seller", 12), ("seller", "11.99")):
        agent = new_agent(platform, room, role, price)
    new_agent(platform, other, "seller", 1)
    assert statistics(platform, room) == RoomStatistics(2, 2, Decimal("11.99"), Decimal(9))

    with platform.postgres.session(user_id=agent.user_id) as session:
        negotiate(session, agent.id)
    assert statistics(platform, room) == RoomStatistics(2, 1, Decimal(12), Decimal(9))
    with platform.postgres.session(user_id=agent.user_id) as session:
        stop_negotiating(session, agent.id)
        with pytest.raises(StateError):
            bring_back(session, agent.id)
    with platform.postgres.session(user_id=agent.user_id) as session:
        reprice(session, agent.id, starting_price=Decimal("13.37"), min_price=Decimal(1))
    assert statistics(platform, room) == RoomStatistics(2, 2, Decimal(12), Decimal(9))
    with pytest.raises(NotFoundError):
        statistics(platform, Room(id=uuid4()))


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


def test_prices_follow_raw_sql_too(platform: Platform) -> None:
    for room in (new_room(platform), new_room(platform, name="Cats")):
        for role, price in (("buyer", 4), ("buyer", 6), ("seller", 8), ("seller", 10)):
            new_agent(platform, room, role, price, nft_id=None)
    for change in CHANGES:
        with platform.postgres.session() as session:
            before = (session.execute(sa.text(RECOUNT))).all()
            assert set(before) == {(Decimal(8), Decimal(6), Decimal(8), Decimal(6))}
            attempt = session.begin_nested()
            session.execute(sa.text(change))
            after = (session.execute(sa.text(RECOUNT))).all()
            attempt.rollback()
            assert after != before, change
            assert [row[:2] for row in after] == [row[2:] for row in after], change


def test_a_swarm_is_placed_whole_or_not_at_all(platform: Platform) -> None:
    room, user_id = new_room(platform), new_user(platform)
    nft_ids = tuple([new_nft(platform) for _ in range(3)])
    wanted = NewSwarm(preset="balanced_market", lowest=Decimal(5), highest=Decimal(15), nft_ids=nft_ids)
    with platform.postgres.session(user_id=user_id) as session:
        swarm = place_swarm(session, user_id, room.id, wanted)
        assert (swarm.total_agents, len(swarm.agents), swarm.status) == (20, 20, "running")
    assert statistics(platform, room) == RoomStatistics(10, 10, Decimal(5), Decimal(15))
    with pytest.raises(UniqueError):
        with platform.postgres.session(user_id=user_id) as session:
            place_swarm(session, user_id, room.id, wanted)
    assert statistics(platform, room) == RoomStatistics(10, 10, Decimal(5), Decimal(15))
    with platform.postgres.session(user_id=user_id) as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Swarm)) == 1
        assert (move_swarm(session, swarm.id, "paused", at=AT)).completed_at is None
        assert (move_swarm(session, swarm.id, "completed", at=AT)).completed_at == AT
        with pytest.raises(StateError):
            move_swarm(session, swarm.id, "running", at=AT)


def test_a_closed_room_stays_closed(platform: Platform) -> None:
    room = new_room(platform)
    for status in ("paused", "active", "paused", "closed"):
        with platform.postgres.session() as session:
            assert (move_room(session, room.id, status)).status == status
        if status != "active":
            with pytest.raises(RoomNotOpenError):
                new_agent(platform, room, "buyer")
    with platform.postgres.session() as session:
        with pytest.raises(StateError):
            move_room(session, room.id, "active")
        with pytest.raises(NotFoundError):
            move_room(session, uuid4(), "active")


def test_a_swarm_as_planned_is_the_same_every_time() -> None:
    wanted = NewSwarm(preset="small_test", lowest=Decimal(1), highest=Decimal(2))
    assert planned(wanted) == planned(wanted)
