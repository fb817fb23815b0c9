"""Users come, and say what they want to hear of, and where."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import AsyncKeyRing, InputError, NotFoundError
from storekeeper.domains.defi.entities import User
from storekeeper.domains.defi.shapes import Preferences

_TELEGRAM: Final = "defi.users.telegram_chat_id"
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


def as_address(wallet_address: str) -> str:
    """An Ethereum address as it is stored, in lower case: its capitals are a checksum. Raises InputError."""
    address = wallet_address.strip().lower()
    if not _ADDRESS.fullmatch(address):
        raise InputError("is no Ethereum address", target="wallet_address", hint="0x and 40 hexadecimal digits")
    return address


async def register(
    session: AsyncSession, wallet_address: str, preferences: Preferences | None = None, *, user_id: UUID | None = None
) -> User:
    """A new user. The wallet's address is unique.

    A service names the `user_id` that the session acts for: nobody else's row could it write.
    """
    user = User(
        id=user_id or uuid4(), wallet_address=as_address(wallet_address), preferences=preferences or Preferences()
    )
    session.add(user)
    await session.flush()
    return user


async def prefer(session: AsyncSession, user_id: UUID, preferences: Preferences) -> User:
    """Replaces what a user wants to hear of. Raises NotFoundError."""
    user = await _locked(session, user_id, "change preferences")
    user.preferences = preferences
    await session.flush()
    return user


async def set_telegram_chat(session: AsyncSession, ring: AsyncKeyRing, user_id: UUID, chat_id: str | None) -> None:
    """Seals the Telegram chat in which a user wants to be told; None forgets it. Raises NotFoundError."""
    user = await _locked(session, user_id, "set the Telegram chat")
    person = str(user_id)
    user.telegram_chat_id = (
        None if chat_id is None else await ring.seal(chat_id, place=_TELEGRAM, row=person, person=person)
    )
    await session.flush()


async def telegram_chat_of(ring: AsyncKeyRing, user: User) -> str | None:
    """The Telegram chat of a user, opened; None where they named none."""
    if user.telegram_chat_id is None:
        return None
    return await ring.open(user.telegram_chat_id, place=_TELEGRAM, row=str(user.id), person=str(user.id))


async def _locked(session: AsyncSession, user_id: UUID, operation: str) -> User:
    user: User | None = await session.scalar(
        sa.select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    )
    if user is None:
        raise NotFoundError("no such user", operation=operation, target=str(user_id))
    return user
