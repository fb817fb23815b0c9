"""What agents say is recorded, and they come and go between being active, negotiating and done."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import NotFoundError
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.checks import moment, price
from storekeeper.domains.rooms.entities import Agent, Message
from storekeeper.domains.rooms.errors import StateError

MessageType = Literal["offer", "counter", "accept", "reject", "comment"]
Sentiment = Literal["positive", "negative", "neutral"]


async def record_message(
    session: AsyncSession,
    agent_id: UUID,
    *,
    message_type: MessageType,
    sentiment: Sentiment,
    price_mentioned: Decimal | None = None,
    at: datetime,
) -> Message:
    """Records what an agent of the current user's said, and counts it: of the agent, and of its performance."""
    if price_mentioned is not None:
        price(price_mentioned, "price_mentioned")
    await session.flush()
    called = queries.record_message(agent_id, message_type, price_mentioned, sentiment, moment(at))
    recorded = await session.scalar(called)
    if recorded is None:
        raise NotFoundError(operation="record message", target=f"agent {agent_id}")
    return (await session.scalars(sa.select(Message).where(Message.id == recorded))).one()


async def negotiate(session: AsyncSession, agent_id: UUID) -> Agent:
    """Has an active agent of the current user's negotiate: statistics leave it out until it stops."""
    return await _move(session, "negotiate", agent_id, queries.move_agent(agent_id, "active", "negotiating"))


async def stop_negotiating(session: AsyncSession, agent_id: UUID) -> Agent:
    """Has a negotiating agent of the current user's be active again."""
    return await _move(session, "stop negotiating", agent_id, queries.move_agent(agent_id, "negotiating", "active"))


async def bring_back(session: AsyncSession, agent_id: UUID, *, nft_id: UUID | None = None) -> Agent:
    """Has a completed agent of the current user's be active again, for another deal; a seller lists this NFT now."""
    return await _move(session, "bring back", agent_id, queries.move_agent(agent_id, "completed", "active", nft_id))


async def _move(session: AsyncSession, operation: str, agent_id: UUID, called: queries.Rows) -> Agent:
    await session.flush()
    refusal, was = (await session.execute(called)).one()
    if refusal == "unknown":
        raise NotFoundError(operation=operation, target=f"agent {agent_id}")
    if refusal is not None:
        raise StateError(f"it is {was}", operation=operation, target=f"agent {agent_id}")
    again = sa.select(Agent).where(Agent.id == agent_id).execution_options(populate_existing=True)
    return (await session.scalars(again)).one()
