"""The log of what users did, newest first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import Page, page_async
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import UserActivity


async def log_activity(
    session: AsyncSession,
    user_id: UUID,
    activity_type: str,
    *,
    resource_type: str | None = None,
    resource_id: str | None = None,
    details: dict[str, Any] | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
) -> UserActivity:
    """Notes what a user did, at the server's time."""
    activity = UserActivity(
        user_id=user_id,
        activity_type=activity_type,
        resource_type=resource_type,
        resource_id=resource_id,
        details=details,
        ip_address=ip_address,
        user_agent=user_agent,
    )
    session.add(activity)
    await session.flush()
    return activity


async def activities(
    session: AsyncSession,
    user_id: UUID,
    *,
    activity_type: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[UserActivity]:
    """A page of what a user did; `after` is `next` of the page before."""
    return await page_async(
        session,
        queries.activities(user_id, activity_type=activity_type),
        by=queries.NEWEST_ACTIVITY,
        after=after,
        limit=limit,
    )
