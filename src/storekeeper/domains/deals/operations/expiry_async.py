"""Expiry: deals, goals and sign-in tokens whose time has come change their status. A job's work, over all users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper.domains.deals.entities import AuthToken, Deal, Goal


def ended_deals(at: datetime) -> sa.ColumnElement[bool]:
    """Deals that `at` that moment have expired and do not say so, those that wait for their approval among them."""
    return sa.and_(Deal.status.in_(("active", "pending")), Deal.expires_at <= at)


def ended_goals(at: datetime) -> sa.ColumnElement[bool]:
    """Goals that `at` that moment have ended and do not say so, paused ones among them."""
    return sa.and_(Goal.status.in_(("active", "paused")), Goal.end_date <= at)


def ended_tokens(at: datetime) -> sa.ColumnElement[bool]:
    """Sign-in tokens that `at` that moment have expired and do not say so."""
    return sa.and_(AuthToken.status == "active", AuthToken.expires_at <= at)


async def expire_deals(session: AsyncSession, *, at: datetime, limit: int = 1000) -> int:
    """Makes up to `limit` deals that have ended `expired`, and returns how many."""
    return await _expire(session, Deal, ended_deals(at), limit)


async def expire_goals(session: AsyncSession, *, at: datetime, limit: int = 1000) -> int:
    """Makes up to `limit` goals that have ended `expired`, and returns how many."""
    return await _expire(session, Goal, ended_goals(at), limit)


async def expire_tokens(session: AsyncSession, *, at: datetime, limit: int = 1000) -> int:
    """Makes up to `limit` sign-in tokens that have ended `expired`, and returns how many."""
    return await _expire(session, AuthToken, ended_tokens(at), limit)


async def _expire(session: AsyncSession, entity: Any, ended: sa.ColumnElement[bool], limit: int) -> int:
    """Rows that somebody else is changing wait for the next run."""
    over = sa.select(entity.id).where(ended).limit(limit).with_for_update(skip_locked=True)
    statement = sa.update(entity).where(entity.id.in_(over)).values(status="expired").returning(entity.id)
    return len((await session.execute(statement, execution_options={"synchronize_session": False})).all())
