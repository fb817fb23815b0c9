"""Watchlists: symbols that a user follows; a public list is for others to read."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import NotFoundError
from storekeeper.domains.invest.entities import Watchlist, WatchlistItem


async def create_watchlist(
    session: AsyncSession, user_id: UUID, name: str, *, description: str | None = None, public: bool = False
) -> Watchlist:
    """Makes an empty watchlist."""
    watchlist = Watchlist(user_id=user_id, name=name, description=description, is_public=public)
    session.add(watchlist)
    await session.flush()
    return watchlist


async def add_symbols(session: AsyncSession, watchlist_id: UUID, symbols: Iterable[str]) -> int:
    """Puts symbols on a watchlist; returns how many were not on it yet. Raises NotFoundError."""
    await _locked(session, watchlist_id, "add to")
    # sorted: two who add the same symbols lock them in one order
    rows = [{"watchlist_id": watchlist_id, "symbol": symbol} for symbol in sorted(set(symbols))]
    if not rows:
        return 0
    added = await session.scalars(
        insert(WatchlistItem).values(rows).on_conflict_do_nothing().returning(WatchlistItem.id)
    )
    return len(added.all())


async def remove_symbols(session: AsyncSession, watchlist_id: UUID, symbols: Iterable[str]) -> int:
    """Takes symbols off a watchlist; returns how many were on it. Raises NotFoundError."""
    await _locked(session, watchlist_id, "remove from")
    removed = await session.scalars(
        sa.delete(WatchlistItem)
        .where(WatchlistItem.watchlist_id == watchlist_id, WatchlistItem.symbol.in_(sorted(set(symbols))))
        .returning(WatchlistItem.id)
    )
    return len(removed.all())


async def publish_watchlist(session: AsyncSession, watchlist_id: UUID, *, public: bool) -> Watchlist:
    """Shows a watchlist to everybody, or to its user alone. Raises NotFoundError."""
    watchlist = await _locked(session, watchlist_id, "publish")
    watchlist.is_public = public
    await session.flush()
    return watchlist


async def delete_watchlist(session: AsyncSession, watchlist_id: UUID) -> None:
    """Deletes a watchlist with what is on it. Raises NotFoundError."""
    await session.delete(await _locked(session, watchlist_id, "delete"))
    await session.flush()


async def _locked(session: AsyncSession, watchlist_id: UUID, operation: str) -> Watchlist:
    """The watchlist, where it is one's own: others may read it, and never lock it."""
    found = await session.scalar(
        sa.select(Watchlist)
        .where(Watchlist.id == watchlist_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFoundError(
            f"there is no watchlist {watchlist_id}, or it is not yours", operation=operation, target="invest.watchlists"
        )
    return found
