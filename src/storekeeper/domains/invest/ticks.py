"""Ticks, and whether one meets the condition of an alert. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from storekeeper import InputError


@dataclass(frozen=True, slots=True)
class Tick:
    """A trade: its price and volume. `reference` is the price against which it changed, such as the close before."""

    symbol: str
    time: datetime
    price: Decimal
    volume: Decimal | None = None
    reference: Decimal | None = None

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise InputError("has no time zone", operation="evaluate", target=f"tick of {self.symbol}")
        for number in (self.price, self.volume, self.reference):
            if number is not None and not number.is_finite():
                raise InputError(f"{number} is no number", operation="evaluate", target=f"tick of {self.symbol}")
        if self.price <= 0 or (self.reference is not None and self.reference <= 0):
            raise InputError("a price is above 0", operation="evaluate", target=f"tick of {self.symbol}")
