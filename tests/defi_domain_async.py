"""What tests of the defi domain's operations share: a platform over one migrated database, and people in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from storekeeper import AsyncPlatform, connect_async
from storekeeper.domains.defi.entities import User
from storekeeper.domains.defi.operations.users_async import register
from storekeeper.domains.defi.shapes import Preferences

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@asynccontextmanager
async def defi_platform(url: str, **settings: Any) -> AsyncGenerator[AsyncPlatform]:
    """The relational store of a migrated database."""
    async with connect_async(stores=("postgres",), postgres_url=url, timescale_url=url, **settings) as platform:
        yield platform


async def new_user(platform: AsyncPlatform, preferences: Preferences | None = None) -> UUID:
    """A user with a wallet of their own, and nothing else."""
    user_id = uuid4()
    async with platform.postgres.session(user_id=user_id) as session:
        user: User = await register(session, f"0x{user_id.hex}{'0' * 8}", preferences, user_id=user_id)
        return user.id


async def count(platform: AsyncPlatform, entity: type[Any]) -> int:
    """How many rows there are."""
    async with platform.postgres.session() as session:
        return int(await session.scalar(sa.select(sa.func.count()).select_from(entity)) or 0)
