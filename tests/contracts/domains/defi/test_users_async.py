"""Users: their wallet, what they want to hear of, and the Telegram chat that is sealed for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain_async import defi_platform, new_user
from storekeeper import AsyncKeyRing, AsyncPlatform, MasterKeys, NotFoundError
from storekeeper.domains.defi.entities import User
from storekeeper.domains.defi.operations.users_async import prefer, set_telegram_chat, telegram_chat_of
from storekeeper.domains.defi.shapes import Preferences
from storekeeper.errors import SealedValueError
from storekeeper.sealing import new_master_key


@pytest.fixture
async def platform(shared_url: str) -> AsyncIterator[AsyncPlatform]:
    async with defi_platform(shared_url) as platform:
        yield platform


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[AsyncKeyRing]:
    async with AsyncKeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


async def test_a_telegram_chat_is_sealed_and_opened_for_its_user(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    ada, bob = await new_user(platform), await new_user(platform)
    of = sa.select(User).order_by(User.id == bob).where(User.id.in_([ada, bob]))
    async with platform.postgres.session() as session:
        await set_telegram_chat(session, ring, ada, "471147114711")
    async with platform.postgres.session() as session:
        known, unknown = (await session.scalars(of)).all()
        assert await telegram_chat_of(ring, known) == "471147114711"
        assert await telegram_chat_of(ring, unknown) is None
        assert known.telegram_chat_id is not None
        assert "4711" not in known.telegram_chat_id
        unknown.telegram_chat_id = known.telegram_chat_id
        with pytest.raises(SealedValueError):
            await telegram_chat_of(ring, unknown)
        await set_telegram_chat(session, ring, ada, None)
    async with platform.postgres.session() as session:
        known, _ = (await session.scalars(of)).all()
        assert known.telegram_chat_id is None


async def test_who_is_not_there_prefers_nothing(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    async with platform.postgres.session() as session:
        with pytest.raises(NotFoundError, match="change preferences"):
            await prefer(session, uuid4(), Preferences())
        with pytest.raises(NotFoundError, match="set the Telegram chat"):
            await set_telegram_chat(session, ring, uuid4(), "4711")
