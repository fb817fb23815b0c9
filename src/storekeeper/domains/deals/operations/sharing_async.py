"""Deals that users save for later and pass on, and what they do with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import InputError, NotFoundError, new_token
from storekeeper.domains.deals.entities import SavedDeal, SharedDeal, SocialInteraction


@dataclass(frozen=True, slots=True)
class OpenedShare:
    """What somebody who follows a public link gets to see: the deal, and the sender's words, not who they are."""

    share_id: UUID
    deal_id: UUID
    message: str | None
    click_count: int


async def save(session: AsyncSession, user_id: UUID, deal_id: UUID, *, notes: str | None = None) -> bool:
    """Keeps a deal for a user, and returns whether it was not kept before. Notes that are given replace older ones."""
    statement = insert(SavedDeal).values(user_id=user_id, deal_id=deal_id, notes=notes)
    statement = statement.on_conflict_do_nothing(index_elements=["user_id", "deal_id"])
    new = bool((await session.execute(statement.returning(SavedDeal.deal_id))).all())
    if new:
        await interact(session, user_id, deal_id, "save")
    elif notes is not None:
        noted = sa.update(SavedDeal).where(SavedDeal.user_id == user_id, SavedDeal.deal_id == deal_id)
        await session.execute(noted.values(notes=notes))
    return new


async def unsave(session: AsyncSession, user_id: UUID, deal_id: UUID) -> bool:
    """Keeps a deal no longer; returns whether it was kept."""
    statement = sa.delete(SavedDeal).where(SavedDeal.user_id == user_id, SavedDeal.deal_id == deal_id)
    return bool((await session.execute(statement.returning(SavedDeal.deal_id))).all())


async def share(
    session: AsyncSession,
    user_id: UUID,
    deal_id: UUID,
    share_type: str,
    *,
    recipients: Sequence[str] | None = None,
    message: str | None = None,
    expires_at: datetime | None = None,
) -> SharedDeal:
    """Passes a deal on: by `email` to recipients, by a public `link`, or on a `social` network.

    A link gets an id that nobody guesses (256 bits). Raises InputError for an e-mail to nobody.
    """
    if share_type == "email" and not recipients:
        raise InputError("has no recipients", operation="share deal", target=str(deal_id))
    shared = SharedDeal(
        user_id=user_id,
        deal_id=deal_id,
        share_type=share_type,
        recipients=list(recipients) if recipients is not None else None,
        message=message,
        public_link_id=new_token() if share_type == "link" else None,
        expires_at=expires_at,
    )
    session.add(shared)
    await session.flush()
    await interact(session, user_id, deal_id, "share")
    return shared


async def withdraw(session: AsyncSession, share_id: UUID) -> None:
    """Ends a share: its link opens nothing from then on. Raises NotFoundError."""
    ended = sa.update(SharedDeal).where(SharedDeal.id == share_id).values(is_active=False).returning(SharedDeal.id)
    if not (await session.execute(ended)).all():
        raise NotFoundError("no such share", operation="withdraw", target=str(share_id))


async def open_link(session: AsyncSession, public_link_id: str, *, at: datetime) -> OpenedShare:
    """What a public link shows, whoever follows it, and one click more; clicks at once are all counted.

    Raises NotFoundError where there is no such link, or it was withdrawn, or has expired `at` that moment.
    """
    opened = sa.text("SELECT id, deal_id, message, click_count FROM deals.open_share(:link, :at)")
    row = (await session.execute(opened, {"link": public_link_id, "at": at})).one_or_none()
    if row is None:
        raise NotFoundError("opens nothing", operation="open link", hint="it may have been withdrawn, or have expired")
    return OpenedShare(row.id, row.deal_id, row.message, row.click_count)


async def interact(
    session: AsyncSession, user_id: UUID, deal_id: UUID, interaction_type: str, *, meta: dict[str, Any] | None = None
) -> SocialInteraction:
    """Notes what a user did with a deal: view, save, share, click or purchase."""
    done = SocialInteraction(user_id=user_id, deal_id=deal_id, interaction_type=interaction_type, meta_data=meta)
    session.add(done)
    await session.flush()
    return done
