# Generated from statistics_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What is counted over the agents and deals of all users: rooms, statuses, ranking.

An agent counts as active where its status is `active`: one that negotiates, is held by a deal or is through with it
takes no part in floor price and top bid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import InputError, NotFoundError, Page
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.entities import Room

AGENT_STATUSES = ("active", "negotiating", "deal_locked", "completed")
#: Deals completed, fewer than an INTEGER holds, and the agent.
_CURSOR = re.compile(r"(\d{1,9})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
DEAL_STATUSES = ("pending", "locked", "verifying", "completed", "failed")


@dataclass(frozen=True)
class RoomStatistics:
    """Over the active agents of a room: how many buy and sell, the lowest asking price, the highest bid."""

    buyers: int
    sellers: int
    floor_price: Decimal | None
    top_bid: Decimal | None


@dataclass(frozen=True)
class Rank:
    """An agent in the ranking; `success_rate` in percent, `avg_negotiation_time` in seconds."""

    agent_id: UUID
    name: str
    deals_completed: int
    success_rate: Decimal | None
    avg_negotiation_time: int | None


def room_statistics(session: Session, room_id: UUID) -> RoomStatistics:
    """Statistics of a room over its active agents. NotFoundError: there is no such room."""
    session.flush()
    row = (session.execute(queries.room_statistics(room_id))).one()
    if row.buyers + row.sellers == 0 and not session.scalar(sa.select(sa.exists().where(Room.id == room_id))):
        raise NotFoundError(operation="read statistics", target=f"room {room_id}")
    return RoomStatistics(*row)


def agents_by_status(session: Session, room_id: UUID | None = None) -> dict[str, int]:
    """How many agents have each status, in one room or in all."""
    session.flush()
    counted = {row.status: row.agents for row in session.execute(queries.agents_by_status(room_id))}
    return {status: counted.get(status, 0) for status in AGENT_STATUSES}


def deals_by_status(session: Session, room_id: UUID | None = None) -> dict[str, int]:
    """How many deals have each status, in one room or in all."""
    session.flush()
    counted = {row.status: row.deals for row in session.execute(queries.deals_by_status(room_id))}
    return {status: counted.get(status, 0) for status in DEAL_STATUSES}


def ranking(session: Session, room_id: UUID | None = None, *, after: str | None = None, limit: int = 50) -> Page[Rank]:
    """Agents that have said or ended something, by deals completed, most first; in one room or in all."""
    if not 1 <= limit <= 1000:
        raise InputError("between 1 and 1000", operation="read ranking", target="limit")
    session.flush()
    found = session.execute(queries.ranking(room_id, _position(after), limit + 1))
    ranks = [Rank(*row) for row in found]
    last = ranks[limit - 1] if len(ranks) > limit else None
    return Page(tuple(ranks[:limit]), f"{last.deals_completed}.{last.agent_id}" if last else None)


def _position(cursor: str | None) -> tuple[int, UUID] | None:
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InputError("is no cursor of this listing", operation="read ranking", target=repr(cursor))
    return int(found[1]), UUID(found[2])
