"""How well a deal serves a goal: pure, and the same for everybody who asks."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from storekeeper.domains.deals.entities import Deal, Goal

#: What each thing that a goal asks for weighs; of a goal that does not ask for one, the others make up the whole.
PRICE, DISCOUNT, WORDS = 40, 30, 30

_CENT = Decimal("0.01")
_WORD = re.compile(r"\w+")


def relevance(goal: Goal, deal: Deal) -> Decimal | None:
    """From 0 to 100 with two decimals; None where the deal breaks a limit of the goal, which no merit outweighs.

    It is the weighted mean of three shares. Price, where the goal names one: whole up to the target price, then falling
    to nothing at the limit; without a target the part of the limit that is saved. Discount: its percentage. Words,
    where the goal has keywords: how many of them title and description hold. Rounded half up.
    """
    if not fits(goal, deal):
        return None
    parts = [(DISCOUNT, (deal.discount_percent or Decimal(0)) / 100)]
    price = _price_share(goal, deal.current_price)
    if price is not None:
        parts.append((PRICE, price))
    words = {word.casefold() for word in goal.constraints.keywords}
    if words:
        parts.append((WORDS, Decimal(len(words & _words(deal))) / len(words)))
    whole = sum(weight for weight, _ in parts)
    score = sum((weight * share for weight, share in parts), Decimal(0)) * 100 / whole
    return score.quantize(_CENT, rounding=ROUND_HALF_UP)


def fits(goal: Goal, deal: Deal) -> bool:
    """Whether a deal keeps to every limit of a goal. What a goal asks for and a deal does not say is not kept."""
    wanted = goal.constraints
    limits = [limit for limit in (goal.max_budget, wanted.max_price) if limit is not None]
    brands = {brand.casefold() for brand in wanted.brands}
    brand = deal.product_specs.brand if deal.product_specs is not None else None
    return (
        deal.category == goal.category
        and all(deal.current_price <= limit for limit in limits)
        and (wanted.min_price is None or deal.current_price >= wanted.min_price)
        and (goal.min_discount_percent is None or (deal.discount_percent or 0) >= goal.min_discount_percent)
        and (
            wanted.min_seller_rating is None
            or (deal.seller_rating is not None and deal.seller_rating >= wanted.min_seller_rating)
        )
        and (not wanted.sources or deal.source in wanted.sources)
        and (not brands or (brand is not None and brand.casefold() in brands))
        and not {word.casefold() for word in wanted.excluded_keywords} & _words(deal)
    )


def _price_share(goal: Goal, price: Decimal) -> Decimal | None:
    limits = [limit for limit in (goal.max_budget, goal.constraints.max_price) if limit is not None]
    limit = min(limits) if limits else None
    target = goal.target_price
    if target is not None and price <= target:
        return Decimal(1)
    if target is not None:
        limit = limit if limit is not None else 2 * target
        return max(Decimal(0), (limit - price) / (limit - target)) if limit > target else Decimal(0)
    if limit is None:
        return None
    return (limit - price) / limit


def _words(deal: Deal) -> set[str]:
    return {word.casefold() for word in _WORD.findall(f"{deal.title} {deal.description or ''}")}
