"""Prices of deals: what one costs now, and the history of it in the time-series store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import InputError, NotFoundError, record_async
from storekeeper.domains.deals.effects import DEAL_CHANGED, PRICE_RECORDED, DealChanged, PriceSeen, of_deal
from storekeeper.domains.deals.entities import Deal
from storekeeper.domains.deals.entities.base import SOURCES
from storekeeper.domains.deals.errors import WithdrawnDealError
from storekeeper.domains.deals.prices import WITHDRAWN, discount, status_after

_CENTS = Context(prec=12, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A price of a deal, with two decimals, as a source saw it; in the deal's own currency where none is said."""

    deal_id: UUID
    price: Decimal
    source: str
    seen_at: datetime
    currency: str | None = None

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise InputError(f"no such source: {self.source}", operation="record a price of", target=str(self.deal_id))
        if self.seen_at.tzinfo is None:
            raise InputError("has no time zone", operation="record a price of", target=str(self.deal_id))
        try:
            fits = 0 < self.price.quantize(Decimal("0.01"), context=_CENTS) < Decimal(10) ** 8
        except (Inexact, InvalidOperation):
            fits = False
        if not fits:
            raise InputError(
                f"{self.price} is no price: above 0, with two decimals at most and below a hundred million",
                operation="record a price of",
                target=str(self.deal_id),
            )


async def record_price(session: AsyncSession, sighting: Sighting) -> Deal:
    """Records a price: what the deal costs, its discount and its status; and its history, by an effect.

    Sightings may come late, or twice: the deal shows the one that was seen last, the history has each once by deal,
    source and moment. One of a sold out deal means that it can be bought again. A second effect has the deal matched to
    the goals of all users. Returns the deal, locked.

    Raises NotFoundError, WithdrawnDealError (removed, invalid, deleted), InputError for another currency.
    """
    deal = await session.scalar(
        sa.select(Deal)
        .where(Deal.id == sighting.deal_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    target = str(sighting.deal_id)
    if deal is None:
        raise NotFoundError("there is no such deal", operation="record a price of", target=target)
    if deal.status in WITHDRAWN:
        raise WithdrawnDealError(f"the deal is {deal.status}", operation="record a price of", target=target)
    if sighting.currency not in (None, deal.currency):
        raise InputError(
            f"{sighting.currency} is not the deal's {deal.currency}", operation="record a price of", target=target
        )
    if deal.last_checked_at is None or deal.last_checked_at <= sighting.seen_at:
        deal.current_price = sighting.price
        deal.discount_percent = discount(sighting.price, deal.original_price)
        deal.status = status_after(deal.status, deal.expires_at, sighting.seen_at)
        deal.last_checked_at = sighting.seen_at
        await session.flush()
    seen = PriceSeen(
        deal_id=deal.id,
        price=sighting.price,
        currency=deal.currency,
        source=sighting.source,
        tracked_at=sighting.seen_at.astimezone(UTC),
    )
    await record_async(session, PRICE_RECORDED, key=of_deal(deal.id), payload=seen)
    await record_async(session, DEAL_CHANGED, key=of_deal(deal.id), payload=DealChanged(deal_id=deal.id))
    return deal
