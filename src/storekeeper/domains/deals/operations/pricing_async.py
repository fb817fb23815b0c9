"""What services cost, by the price in force, and charging for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import InputError
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import TokenPricing, TokenTransaction
from storekeeper.domains.deals.errors import NoPriceError, ReferenceTakenError
from storekeeper.domains.deals.operations.tokens_async import post
from storekeeper.domains.deals.postings import Posting, cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """So many units of a service, used by a user; `reference_id` has it be charged once."""

    user_id: UUID
    service: str
    quantity: Decimal = Decimal(1)
    reference_id: UUID | None = None
    goal_id: UUID | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        _check(self.service, self.quantity)


@dataclass(frozen=True, slots=True)
class Price:
    """What a use costs, by which row of token_pricing."""

    tokens: Decimal
    pricing_id: UUID


async def price_of(session: AsyncSession, service: str, quantity: Decimal = Decimal(1), *, at: datetime) -> Price:
    """What so many units of a service cost `at` a moment: the unit's price in force, within its least and its most.

    Of several in force the one that came last is meant. Raises NoPriceError, InputError.
    """
    _check(service, quantity)
    pricing: TokenPricing | None = await session.scalar(queries.pricing_in_force(service, at).limit(1))
    if pricing is None:
        raise NoPriceError(f"no price is in force at {at.isoformat()}", operation="price", target=service)
    return Price(cost(pricing.token_cost, quantity, pricing.min_tokens, pricing.max_tokens), pricing.id)


async def charge(session: AsyncSession, use: Use, *, at: datetime) -> TokenTransaction | None:
    """Takes what a use costs from the user's balance: the posting, or None where it costs nothing.

    Charged again under its reference it is the first posting that is returned, even if the price has changed since, or
    is no longer in force. Raises NoPriceError, and what `post` raises.
    """
    try:
        price = await price_of(session, use.service, use.quantity, at=at)
    except NoPriceError:
        if (charged := await _charged(session, use)) is not None:
            return charged
        raise
    if price.tokens <= 0:
        return await _charged(session, use)
    posting = Posting(
        user_id=use.user_id,
        type="ai_usage",
        amount=-price.tokens,
        reference_id=use.reference_id,
        description=use.description,
        goal_id=use.goal_id,
        meta_data={"service": use.service, "quantity": str(use.quantity), "pricing_id": str(price.pricing_id)},
    )
    try:
        return await post(session, posting, at=at)
    except ReferenceTakenError as error:
        if error.posting is not None and _is_of(error.posting, use):
            return error.posting
        raise


def _check(service: str, quantity: Decimal) -> None:
    if not quantity.is_finite() or not 0 < quantity < Decimal(10) ** 18:
        raise InputError(f"{quantity} is no quantity", operation="price", target=service)


async def _charged(session: AsyncSession, use: Use) -> TokenTransaction | None:
    """The posting of a use that was charged before, under its reference."""
    if use.reference_id is None:
        return None
    known = sa.select(TokenTransaction).where(
        TokenTransaction.reference_id == use.reference_id,
        TokenTransaction.user_id == use.user_id,
        TokenTransaction.status == "completed",
    )
    found: TokenTransaction | None = await session.scalar(known.order_by(TokenTransaction.created_at).limit(1))
    return found if found is not None and _is_of(found, use) else None


def _is_of(posting: TokenTransaction, use: Use) -> bool:
    said = posting.meta_data
    return (
        posting.type == "ai_usage"
        and posting.goal_id == use.goal_id
        and said.get("service") == use.service
        and Decimal(said.get("quantity", "NaN")) == use.quantity
    )
