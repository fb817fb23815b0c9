"""What a posting to the token ledger is, and what a service costs: values and decisions, pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation
from types import MappingProxyType
from typing import Any, Final, Literal, get_args
from uuid import UUID

from storekeeper import InputError

PostingType = Literal[
    "purchase",
    "ai_usage",
    "signup_bonus",
    "referral_bonus",
    "admin_adjustment",
    "redemption_code",
    "refund",
    "expiration",
    "deduction",
    "reward",
]

#: Postings that take tokens; all others give them, but an adjustment, which may do either.
TAKING: Final = frozenset({"ai_usage", "expiration", "deduction"})

_PLACES: Final = Decimal("1e-8")
_EXACT: Final = Context(prec=38, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Tokens that a user is given (`amount` above 0) or that are taken (below), up to eight decimals.

    `reference_id` makes it idempotent: under one reference a user has one posting. `goal_id` is the goal that it was
    for, whose tokens spent it counts into.
    """

    user_id: UUID
    type: PostingType
    amount: Decimal
    reference_id: UUID | None = None
    description: str | None = None
    goal_id: UUID | None = None
    tx_hash: str | None = None
    meta_data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.type not in get_args(PostingType):
            raise InputError(f"no such type: {self.type}", operation="post", target="tokens")
        if tokens(self.amount) == 0:
            raise InputError("comes to no tokens at all", operation="post", target="tokens")
        if self.type != "admin_adjustment" and (self.amount < 0) != (self.type in TAKING):
            verb = "takes" if self.type in TAKING else "gives"
            raise InputError(f"a posting of type {self.type} {verb} tokens", operation="post", target="tokens")
        if self.tx_hash is not None and len(self.tx_hash) > 66:
            raise InputError("tx_hash has more than 66 characters", operation="post", target="tokens")
        try:
            if self.meta_data:
                json.dumps(dict(self.meta_data), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError("holds what is no JSON", operation="post", target="meta_data") from error


def tokens(amount: Decimal) -> Decimal:
    """The amount as the ledger holds it. Raises InputError where it would have to be rounded, or does not fit."""
    try:
        exact = Decimal(amount).quantize(_PLACES, context=_EXACT)
    except (Inexact, InvalidOperation) as error:
        raise InputError(f"{amount} has more than eight decimals", target="tokens") from error
    if not exact.is_finite() or abs(exact) >= Decimal(10) ** 10:
        raise InputError(f"{amount} is no number below ten billions", target="tokens")
    return exact


def cost(unit: Decimal, quantity: Decimal, least: int, most: int | None) -> Decimal:
    """What `quantity` units of a service cost at `unit` tokens each: at least `least`, at most `most`.

    Rounded up to eight decimals: what was used is never given away.
    """
    # wide enough for every product of the two, whatever the thread's own context is
    wide = Context(prec=60, rounding="ROUND_CEILING")
    exact = wide.multiply(unit, quantity).quantize(_PLACES, context=wide)
    return max(exact, Decimal(least)) if most is None else min(max(exact, Decimal(least)), Decimal(most))
