# Generated from placing_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Agents and swarms are placed in rooms, and rooms and swarms are paused, resumed and ended.

Whatever changes a room's agents holds the room first, so that operations wait for one another in one order.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import NotFoundError
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.agents import NewAgent, NewSwarm, limits_of, planned
from storekeeper.domains.rooms.checks import moment, price
from storekeeper.domains.rooms.entities import Agent, Room, Swarm
from storekeeper.domains.rooms.errors import RoomNotOpenError, StateError

RoomStatus = Literal["active", "paused", "closed"]
SwarmStatus = Literal["running", "paused", "completed"]


def place(session: Session, user_id: UUID, room_id: UUID, agent: NewAgent) -> Agent:
    """Places an agent of a user in an open room. UniqueError: another agent lists its NFT."""
    _open_room(session, room_id, operation="place agent")
    placed = _entity(user_id, room_id, agent)
    session.add(placed)
    session.flush()
    return placed


def place_swarm(session: Session, user_id: UUID, room_id: UUID, swarm: NewSwarm) -> Swarm:
    """Places a user's swarm in an open room, all of its agents or none; they are its `agents`."""
    _open_room(session, room_id, operation="place swarm")
    placed = Swarm(user_id=user_id, room_id=room_id, preset=swarm.preset, total_agents=swarm.size)
    placed.agents = [_entity(user_id, room_id, agent) for agent in planned(swarm)]
    session.add(placed)
    session.flush()
    return placed


def reprice(
    session: Session,
    agent_id: UUID,
    *,
    starting_price: Decimal,
    min_price: Decimal | None = None,
    max_price: Decimal | None = None,
) -> Agent:
    """Gives an agent of the current user's these prices and limits; the room's floor price and top bid follow."""
    for name, value in (("starting_price", starting_price), ("min_price", min_price), ("max_price", max_price)):
        if value is not None:
            price(value, name)
    room_id = session.scalar(sa.select(Agent.room_id).where(Agent.id == agent_id))
    if room_id is not None:
        session.scalar(queries.locked_room(room_id))
    agent = session.scalar(queries.locked_agent(agent_id))
    if agent is None:
        raise NotFoundError(operation="reprice", target=f"agent {agent_id}")
    limits_of(agent.role, starting_price, min_price, max_price, f"agent {agent_id}")
    agent.starting_price, agent.min_price, agent.max_price = starting_price, min_price, max_price
    session.flush()
    return agent


def move_room(session: Session, room_id: UUID, to: RoomStatus) -> Room:
    """Pauses, reopens or closes a room; a closed one stays closed.

    In a room that is not active no agent is placed, no deal proposed and none locked; deals under way end.
    """
    room = session.scalar(queries.locked_room(room_id))
    if room is None:
        raise NotFoundError(operation="change room", target=str(room_id))
    if room.status == "closed" and to != "closed":
        raise StateError("it is closed, and stays so", operation=f"make {to}", target=f"room {room.name}")
    room.status = to
    session.flush()
    return room


def move_swarm(session: Session, swarm_id: UUID, to: SwarmStatus, *, at: datetime) -> Swarm:
    """Pauses, resumes or completes a swarm of the current user's, as of `at`; a completed one stays completed."""
    swarm = session.scalar(queries.locked_swarm(swarm_id))
    if swarm is None:
        raise NotFoundError(operation="change swarm", target=str(swarm_id))
    if swarm.status == "completed":
        if to != "completed":
            raise StateError("it is completed, and stays so", operation=f"make {to}", target=f"swarm {swarm_id}")
        return swarm
    swarm.status = to
    if to == "completed":
        swarm.completed_at = moment(at)
    session.flush()
    return swarm


def _open_room(session: Session, room_id: UUID, *, operation: str) -> Room:
    room = session.scalar(queries.locked_room(room_id))
    if room is None:
        raise NotFoundError(operation=operation, target=f"room {room_id}")
    if room.status != "active":
        raise RoomNotOpenError(f"it is {room.status}", operation=operation, target=f"room {room.name}")
    return room


def _entity(user_id: UUID, room_id: UUID, agent: NewAgent) -> Agent:
    return Agent(
        user_id=user_id,
        room_id=room_id,
        nft_id=agent.nft_id,
        name=agent.name,
        avatar=agent.avatar,
        role=agent.role,
        strategy=agent.strategy,
        communication_style=agent.communication_style,
        min_price=agent.min_price,
        max_price=agent.max_price,
        starting_price=agent.starting_price,
    )
