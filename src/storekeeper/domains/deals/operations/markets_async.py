"""The keys with which markets are asked: sealed under the installation's key, since they are no person's."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import AsyncKeyRing, NotFoundError
from storekeeper.domains.deals.entities import Market

_API_KEY: Final = "deals.markets.api_key"


async def set_api_key(session: AsyncSession, ring: AsyncKeyRing, market_id: UUID, api_key: str | None) -> None:
    """Seals a market's key; None forgets it. Raises NotFoundError."""
    sealed = None if api_key is None else await ring.seal(api_key, place=_API_KEY, row=str(market_id))
    changed = sa.update(Market).where(Market.id == market_id).values(api_key=sealed).returning(Market.id)
    if not (await session.execute(changed)).all():
        raise NotFoundError("there is no such market", operation="set the key of", target=str(market_id))


async def api_key_of(session: AsyncSession, ring: AsyncKeyRing, market_id: UUID) -> str | None:
    """A market's key, opened; None where it has none. Raises NotFoundError."""
    found = (await session.execute(sa.select(Market.api_key).where(Market.id == market_id))).one_or_none()
    if found is None:
        raise NotFoundError("there is no such market", operation="read the key of", target=str(market_id))
    if found.api_key is None:
        return None
    return await ring.open(found.api_key, place=_API_KEY, row=str(market_id))
