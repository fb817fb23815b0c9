"""Statements of the rooms domain: listings, and calls of the functions that reach beyond the current user's rows."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from storekeeper import TypedJson
from storekeeper.domains.rooms.entities import Agent, Deal, Message, Nft, Room, Swarm
from storekeeper.domains.rooms.entities.base import PRICE, TIME
from storekeeper.domains.rooms.shapes import Consensus

#: A statement that gives rows of several columns.
Rows: TypeAlias = sa.Select[*tuple[Any, ...]]

# what the session holds of a row is older than the lock, or than what a function did
_ANEW = {"populate_existing": True}

# Listings. Each is read page by page in the order that stands beside it.

#: newest first
AGENTS_ORDER = (Agent.created_at.desc(), Agent.id.desc())
DEALS_ORDER = (Deal.created_at.desc(), Deal.id.desc())
MESSAGES_ORDER = (Message.created_at.desc(), Message.id.desc())
SWARMS_ORDER = (Swarm.created_at.desc(), Swarm.id.desc())
#: by name
NFTS_ORDER = (Nft.collection, Nft.token_id)
ROOMS_ORDER = (Room.name, Room.id)


def rooms(status: str | None = None) -> sa.Select[Room]:
    """Rooms, all or of one status; order: ROOMS_ORDER."""
    statement = sa.select(Room)
    return statement if status is None else statement.where(Room.status == status)


def nfts(collection: str) -> sa.Select[Nft]:
    """The NFTs of a collection; order: NFTS_ORDER."""
    return sa.select(Nft).where(Nft.collection == collection)


def agents_of(user_id: UUID, room_id: UUID | None = None) -> sa.Select[Agent]:
    """A user's agents, with room, NFT and performance; order: AGENTS_ORDER."""
    statement = (
        sa.select(Agent)
        .where(Agent.user_id == user_id)
        .options(joinedload(Agent.room, innerjoin=True), joinedload(Agent.nft), joinedload(Agent.performance))
    )
    return statement if room_id is None else statement.where(Agent.room_id == room_id)


def deals_of(user_id: UUID) -> sa.Select[Deal]:
    """The deals to which a user is a party, with room and NFT; order: DEALS_ORDER."""
    return (
        sa.select(Deal)
        .where(sa.or_(Deal.buyer_user_id == user_id, Deal.seller_user_id == user_id))
        .options(joinedload(Deal.room, innerjoin=True), joinedload(Deal.nft, innerjoin=True))
    )


def swarms_of(user_id: UUID) -> sa.Select[Swarm]:
    """A user's swarms, with their rooms; order: SWARMS_ORDER."""
    return sa.select(Swarm).where(Swarm.user_id == user_id).options(joinedload(Swarm.room, innerjoin=True))


def messages_of(agent_id: UUID) -> sa.Select[Message]:
    """What an agent said; order: MESSAGES_ORDER."""
    return sa.select(Message).where(Message.agent_id == agent_id)


# Locks. The row of a room comes first; only then those of agents, then that of a deal.


def locked_room(room_id: UUID) -> sa.Select[Room]:
    """A room, held until the transaction ends: its prices change with its agents."""
    return sa.select(Room).where(Room.id == room_id).with_for_update(key_share=True).execution_options(**_ANEW)


def locked_agent(agent_id: UUID) -> sa.Select[Agent]:
    """An agent, held until the transaction ends; its room is held already."""
    return sa.select(Agent).where(Agent.id == agent_id).with_for_update(key_share=True).execution_options(**_ANEW)


def locked_swarm(swarm_id: UUID) -> sa.Select[Swarm]:
    """A swarm, held until the transaction ends."""
    return sa.select(Swarm).where(Swarm.id == swarm_id).with_for_update(key_share=True).execution_options(**_ANEW)


def deal(deal_id: UUID) -> sa.Select[Deal]:
    """A deal as it is now, whatever the session read of it before."""
    return sa.select(Deal).where(Deal.id == deal_id).execution_options(**_ANEW)


# Calls.


def sign_in_nonce(wallet: str, fresh: str) -> sa.Select[str | None]:
    """The nonce that a wallet is to sign next."""
    return sa.select(sa.func.rooms.sign_in_nonce(_text(wallet), _text(fresh), type_=sa.Text))


def use_nonce(wallet: str, signed: str, fresh: str) -> sa.Select[UUID | None]:
    """The user whose nonce that was, if it was."""
    return sa.select(sa.func.rooms.use_nonce(_text(wallet), _text(signed), _text(fresh), type_=sa.Uuid))


def propose_deal(buyer_agent: UUID, seller_agent: UUID, price: Decimal) -> Rows:
    """Rows of (refusal, proposed)."""
    call = sa.func.rooms.propose_deal(_id(buyer_agent), _id(seller_agent), sa.literal(price, PRICE))
    return _row(call, sa.column("refusal", sa.Text), sa.column("proposed", sa.Uuid))


def move_deal(
    deal_id: UUID,
    to: str,
    at: datetime,
    consensus: Consensus | None = None,
    tx_hash: str | None = None,
    block_number: int | None = None,
) -> Rows:
    """Rows of (refusal, was), which is the status that the deal had."""
    call = sa.func.rooms.move_deal(
        _id(deal_id),
        _text(to),
        sa.literal(at, TIME),
        sa.literal(consensus, TypedJson(Consensus)),
        _text(tx_hash),
        sa.literal(block_number, sa.BigInteger),
    )
    return _row(call, sa.column("refusal", sa.Text), sa.column("was", sa.Text))


def move_agent(agent_id: UUID, since: str, to: str, nft_id: UUID | None = None) -> Rows:
    """Rows of (refusal, was), which is the status that the agent had."""
    call = sa.func.rooms.move_agent(_id(agent_id), _text(since), _text(to), _id(nft_id))
    return _row(call, sa.column("refusal", sa.Text), sa.column("was", sa.Text))


def record_message(
    agent_id: UUID, kind: str, price: Decimal | None, sentiment: str, at: datetime
) -> sa.Select[UUID | None]:
    """The id of the message that was recorded."""
    return sa.select(
        sa.func.rooms.record_message(
            _id(agent_id), _text(kind), sa.literal(price, PRICE), _text(sentiment), sa.literal(at, TIME), type_=sa.Uuid
        )
    )


def deal_agents(deal_id: UUID) -> Rows:
    """Both agents of a deal, as each shows itself to the other: buyer first."""
    names = ("agent_id", "role", "name", "avatar", "status", "communication_style", "starting_price")
    return _row(sa.func.rooms.deal_agents(_id(deal_id)), *(sa.column(name) for name in names))


def room_statistics(room_id: UUID) -> Rows:
    """One row of (buyers, sellers, floor_price, top_bid) over the room's active agents."""
    names = ("buyers", "sellers", "floor_price", "top_bid")
    return _row(sa.func.rooms.room_statistics(_id(room_id)), *(sa.column(name) for name in names))


def agents_by_status(room_id: UUID | None) -> Rows:
    """Rows of (status, agents): of one room, or of all."""
    return _row(sa.func.rooms.agents_by_status(_id(room_id)), sa.column("status"), sa.column("agents"))


def deals_by_status(room_id: UUID | None) -> Rows:
    """Rows of (status, deals): of one room, or of all."""
    return _row(sa.func.rooms.deals_by_status(_id(room_id)), sa.column("status"), sa.column("deals"))


def ranking(room_id: UUID | None, after: tuple[int, UUID] | None, at_most: int) -> Rows:
    """Agents by deals completed, most first, from the start or after one of them."""
    completed, agent_id = after or (None, None)
    names = ("agent_id", "name", "deals_completed", "success_rate", "avg_negotiation_time")
    call = sa.func.rooms.ranking(
        _id(room_id), sa.literal(completed, sa.Integer), _id(agent_id), sa.literal(at_most, sa.Integer)
    )
    return _row(call, *(sa.column(name) for name in names))


def _row(call: sa.Function[Any], *columns: sa.ColumnClause[Any]) -> Rows:
    found = call.table_valued(*columns)
    return sa.select(*found.c)


def _id(value: UUID | None) -> sa.BindParameter[UUID | None]:
    return sa.literal(value, sa.Uuid)


def _text(value: str | None) -> sa.BindParameter[str | None]:
    return sa.literal(value, sa.Text)
