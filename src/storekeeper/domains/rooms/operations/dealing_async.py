"""A deal is proposed, locked, verified, and completed or failed.

    pending → locked → verifying → completed
       └────────┴──────────┴─────→ failed

Any number of deals may be pending over the same agents; one that is locked holds both of its agents, and only it. The
session acts for one of the two users. Agents that it read before are older than what the operation did to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import NotFoundError, RefusedError
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.checks import moment, price
from storekeeper.domains.rooms.entities import Deal
from storekeeper.domains.rooms.errors import AgentBusyError, PriceError, RoomNotOpenError, StateError
from storekeeper.domains.rooms.shapes import Consensus

_REFUSALS: Mapping[str, tuple[type[RefusedError], str]] = {
    "rooms": (RefusedError, "the two agents are in different rooms"),
    "nothing": (RefusedError, "the seller lists no NFT"),
    "room": (RoomNotOpenError, "the room is paused or closed"),
    "price": (PriceError, "less than the seller accepts, or more than the buyer pays"),
    "busy": (AgentBusyError, "an agent is held by another deal, is through with its own, or lists another NFT"),
}


@dataclass(frozen=True)
class DealAgent:
    """An agent as it shows itself to the other party of a deal: without its limits and its strategy."""

    agent_id: UUID
    role: str
    name: str
    avatar: str | None
    status: str
    communication_style: str
    starting_price: Decimal


async def propose(session: AsyncSession, *, buyer_agent_id: UUID, seller_agent_id: UUID, final_price: Decimal) -> Deal:
    """Proposes a deal over the NFT that the seller lists. One of the two agents is the current user's."""
    price(final_price, "final_price")
    called = queries.propose_deal(buyer_agent_id, seller_agent_id, final_price)
    refusal, proposed = (await _call(session, called)).one()
    if refusal == "unknown":
        raise NotFoundError(
            "no such buyer and seller, or neither is the current user's",
            operation="propose deal",
            target=f"between agents {buyer_agent_id} and {seller_agent_id}",
        )
    if refusal is not None:
        kind, why = _REFUSALS[refusal]
        raise kind(why, operation="propose deal", target=f"between agents {buyer_agent_id} and {seller_agent_id}")
    return (await session.scalars(queries.deal(proposed))).one()


async def lock(session: AsyncSession, deal_id: UUID, *, at: datetime) -> Deal:
    """Locks a pending deal: both agents are held by it until it ends.

    AgentBusyError: one of them is not free. PriceError: its price is outside of the limits that they have by now.
    """
    return await _move(session, "lock", deal_id, queries.move_deal(deal_id, "locked", moment(at)))


async def verify(session: AsyncSession, deal_id: UUID, consensus: Consensus, *, at: datetime) -> Deal:
    """Has a locked deal verified by this vote."""
    return await _move(session, "verify", deal_id, queries.move_deal(deal_id, "verifying", moment(at), consensus))


async def complete(session: AsyncSession, deal_id: UUID, *, tx_hash: str, block_number: int, at: datetime) -> Deal:
    """Completes a verified deal with its transaction on the chain. Both agents are completed, and their NFT is free."""
    moved = queries.move_deal(deal_id, "completed", moment(at), None, tx_hash, block_number)
    return await _move(session, "complete", deal_id, moved)


async def fail(session: AsyncSession, deal_id: UUID, *, at: datetime, consensus: Consensus | None = None) -> Deal:
    """Fails a deal that has not ended. Agents that it held are active again."""
    return await _move(session, "fail", deal_id, queries.move_deal(deal_id, "failed", moment(at), consensus))


async def agents_of_deal(session: AsyncSession, deal_id: UUID) -> tuple[DealAgent, DealAgent]:
    """The buyer and the seller of a deal to which the current user is a party."""
    rows = (await _call(session, queries.deal_agents(deal_id))).all()
    if len(rows) != 2:
        raise NotFoundError(operation="read agents", target=f"deal {deal_id}")
    buyer, seller = rows
    return DealAgent(*buyer), DealAgent(*seller)


async def _move(session: AsyncSession, operation: str, deal_id: UUID, called: queries.Rows) -> Deal:
    refusal, was = (await _call(session, called)).one()
    if refusal == "unknown":
        raise NotFoundError(operation=f"{operation} deal", target=str(deal_id))
    if refusal == "state":
        raise StateError(
            f"it is {was}",
            operation=f"{operation} deal",
            target=str(deal_id),
            hint="pending → locked → verifying → completed; failed before it is completed",
        )
    if refusal is not None:
        kind, why = _REFUSALS[refusal]
        raise kind(why, operation=f"{operation} deal", target=str(deal_id))
    return (await session.scalars(queries.deal(deal_id))).one()


async def _call(session: AsyncSession, called: queries.Rows) -> sa.Result[*tuple[Any, ...]]:
    # the function sees what the server has: what is pending in the session goes there first
    await session.flush()
    return await session.execute(called)
