"""What positions are worth at a price, and a portfolio of them together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from storekeeper import InputError
from storekeeper.domains.invest.exact import EXACT, checked, fits, rounded, share
from storekeeper.domains.invest.positions import Position
from storekeeper.domains.invest.shapes import AssetAllocation, Holding

_NOTHING: Final = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class Price:
    """What one share was worth, and when that was."""

    price: Decimal
    time: datetime

    def __post_init__(self) -> None:
        if checked(self.price, 18, 6, name="price", operation="value") <= 0:
            raise InputError(f"{self.price} is no price", operation="value", target="price")


@dataclass(frozen=True, slots=True)
class Worth:
    """Value and gain to the cent; the gain in percent of the cost, None beyond what its column holds."""

    value: Decimal
    gain: Decimal
    gain_percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Held:
    """One asset of a portfolio as it is valued. `worth` is None where no price is known: it counts at its cost."""

    symbol: str
    asset_type: str
    cost: Decimal
    worth: Worth | None

    @property
    def value(self) -> Decimal:
        return self.cost if self.worth is None else self.worth.value


@dataclass(frozen=True, slots=True)
class Total:
    """A portfolio at one moment. `day_change` is against the value with which the days before ended."""

    value: Decimal
    gain: Decimal
    gain_percent: Decimal | None
    day_change: Decimal | None
    day_change_percent: Decimal | None
    allocation: AssetAllocation


def worth(position: Position, price: Decimal, *, symbol: str) -> Worth:
    """What a position is worth at a price. Raises InputError where that does not fit its column."""
    value = rounded(EXACT.multiply(position.shares, price), 2)
    if not fits(value, 15, 2):
        raise InputError(f"is worth {value}, which is more than can be kept", operation="value", target=symbol)
    gain = EXACT.subtract(value, position.cost)
    return Worth(value, gain, share(gain, position.cost))


def total(held: Iterable[Held], before: Decimal | None, *, target: str) -> Total:
    """All assets together, beside what they were worth before. Raises InputError where the sum does not fit."""
    assets = list(held)
    value = sum((asset.value for asset in assets), _NOTHING)
    cost = sum((asset.cost for asset in assets), _NOTHING)
    if not fits(value, 15, 2):
        raise InputError(f"is worth {value}, which is more than can be kept", operation="value", target=target)
    gain = EXACT.subtract(value, cost)
    change = None if before is None else EXACT.subtract(value, before)
    return Total(
        value=value,
        gain=gain,
        gain_percent=share(gain, cost),
        day_change=change,
        day_change_percent=None if change is None or before is None else share(change, before),
        allocation=_allocation(assets, value),
    )


def _allocation(assets: Iterable[Held], value: Decimal) -> AssetAllocation:
    symbols: dict[str, Decimal] = {}
    types: dict[str, Decimal] = {}
    for asset in assets:
        symbols[asset.symbol] = asset.value
        types[asset.asset_type] = types.get(asset.asset_type, _NOTHING) + asset.value
    return AssetAllocation(symbols=_parts(symbols, value), types=_parts(types, value))


def _parts(values: Mapping[str, Decimal], whole: Decimal) -> dict[str, Holding]:
    return {
        name: Holding(value=part, percent=share(part, whole) or Decimal("0.0000"))
        for name, part in sorted(values.items())
    }
