"""What operations of the deals domain have other stores see."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from storekeeper import Effect


class PriceSeen(BaseModel):
    """A price of a deal, as a source saw it at a moment."""

    model_config = ConfigDict(frozen=True)

    deal_id: UUID
    price: Decimal
    currency: str
    source: str
    tracked_at: AwareDatetime


class DealChanged(BaseModel):
    """A deal whose price, discount or status may have changed."""

    model_config = ConfigDict(frozen=True)

    deal_id: UUID


PRICE_RECORDED = Effect(
    "deals.price_recorded", payload=PriceSeen, apply="storekeeper.domains.deals.applying:track_price"
)

#: Matching goes over the goals of all users, which whoever records a price may not see.
DEAL_CHANGED = Effect("deals.deal_changed", payload=DealChanged, apply="storekeeper.domains.deals.applying:match_deal")

EFFECTS = (PRICE_RECORDED, DEAL_CHANGED)


def of_deal(deal_id: UUID) -> str:
    """The key of what concerns a deal: its effects are applied in the order of their commits."""
    return f"deal:{deal_id}"
