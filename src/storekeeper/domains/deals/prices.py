"""What a price makes of a deal: its discount, and whether it can be bought. Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

#: Statuses of deals that were taken away on purpose.
WITHDRAWN = frozenset({"removed", "invalid", "deleted"})


def discount(price: Decimal, original: Decimal | None) -> Decimal | None:
    """By how many percent a price is below the original one, with two decimals; None where there is no original one.

    A price above the original one is no discount: 0.
    """
    if original is None:
        return None
    percent = (original - price) / original * 100
    return max(percent, Decimal(0)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def status_after(status: str, expires_at: datetime | None, at: datetime) -> str:
    """What a deal is once a price was seen `at`: active, unless its time is over, or it was withdrawn."""
    if status in WITHDRAWN:
        return status
    return "expired" if expires_at is not None and expires_at <= at else "active"
