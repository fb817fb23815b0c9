# Generated from dealing_async.py by tools/unasync.py. Change that file, then run `make generate`.
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
from sqlalchemy.orm import Session

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


def propose(session: Session, *, buyer_agent_id: UUID, seller_agent_id: UUID, final_price: Decimal) -> Deal:
    """Proposes a deal over the NFT that the seller lists. One of the two agents is the current user's."""
    price(final_price, "final_price")
    called = queries.propose_deal(buyer_agent_id, seller_agent_id, final_price)
    refusal, proposed = (_call(session, called)).one()
    if refusal == "unknown":
        raise NotFoundError(
            "no such buyer and seller, or neither is the current user's",
            operation="propose deal",
            target=f"between agents {buyer_agent_id} and {seller_agent_id}",
        )
    if refusal is not None:
        kind, why = _REFUSALS[refusal]
        raise kind(why, operation="propose deal", target=f"between agents {buyer_agent_id} and {seller_agent_id}")
    return (session.scalars(queries.deal(proposed))).one()


def lock(session: Session, deal_id: UUID, *, at: datetime) -> Deal:
    """Locks a pending deal: both agents are held by it until it ends.

    AgentBusyError: one of them is not free. PriceError: its price is outside of the limits that they have by now.
    """
    return _move(session, "lock", deal_id, queries.move_deal(deal_id, "locked", moment(at)))


def verify(session: Session, deal_id: UUID, consensus: Consensus, *, at: datetime) -> Deal:
    """Has a locked deal verified by this vote."""
    return _move(session, "verify", deal_id, queries.move_deal(deal_id, "verifying", moment(at), consensus))


def complete(session: Session, deal_id: UUID, *, tx_hash: str, block_number: int, at: datetime) -> Deal:
    """Completes a verified deal with its transaction on the chain. Both agents are completed, and their NFT is free."""
    moved = queries.move_deal(deal_id, "completed", moment(at), None, tx_hash, block_number)
    return _move(session, "complete", deal_id, moved)


def fail(session: Session, deal_id: UUID, *, at: datetime, consensus: Consensus | None = None) -> Deal:
    """Fails a deal that has not ended. Agents that it held are active again."""
    return _move(session, "fail", deal_id, queries.move_deal(deal_id, "failed", moment(at), consensus))


def agents_of_deal(session: Session, deal_id: UUID) -> tuple[DealAgent, DealAgent]:
    """The buyer and the seller of a deal to which the current user is a party."""
    rows = (_call(session, queries.deal_agents(deal_id))).all()
    if len(rows) != 2:
        raise NotFoundError(operation="read agents", target=f"deal {deal_id}")
    buyer, seller = rows
    return DealAgent(*buyer), DealAgent(*seller)


def _move(session: Session, operation: str, deal_id: UUID, called: queries.Rows) -> Deal:
    refusal, was = (_call(session, called)).one()
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
    return (session.scalars(queries.deal(deal_id))).one()


def _call(session: Session, called: queries.Rows) -> sa.Result[*tuple[Any, ...]]:
    # the function sees what the server has: what is pending in the session goes there first
    session.flush()
    return session.execute(called)
