"""A position is the fold of its transactions. Pure: the rule by which every stored position can be found again.

In the order of their dates, of one date purchases first, then dividends, then sales, and then by id:

- a purchase of n shares at a price moves the average to (shares * average + n * price) / (shares + n), rounded half up
  to six decimals; fees are kept with the transaction and are no part of the price;
- a sale leaves the average as it is; it cannot sell more than is held at its moment;
- a dividend changes nothing; the symbol must have been held before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from storekeeper import InputError
from storekeeper.domains.invest.errors import NotHeldError
from storekeeper.domains.invest.exact import EXACT, fits, rounded

Kind = Literal["buy", "sell", "dividend"]
RANKS: Final[dict[str, int]] = {"buy": 0, "dividend": 1, "sell": 2}


@dataclass(frozen=True, slots=True)
class Step:
    """What a transaction does to a position."""

    date: datetime
    kind: Kind
    id: UUID
    shares: Decimal
    price: Decimal

    @property
    def place(self) -> tuple[datetime, int, UUID]:
        """Where it stands among the transactions of its symbol."""
        return self.date, RANKS[self.kind], self.id


@dataclass(frozen=True, slots=True)
class Position:
    """Shares, and the average price that was paid for them. None are held where all were sold."""

    shares: Decimal
    average: Decimal

    @property
    def cost(self) -> Decimal:
        """What was paid for the shares, to the cent, as `total_cost` has it."""
        return rounded(EXACT.multiply(self.shares, self.average), 2)


NOTHING_HELD: Final = Position(Decimal("0.000000"), Decimal("0.000000"))


def after(position: Position | None, step: Step, *, symbol: str) -> Position:
    """The position after one more transaction; None is that of a symbol that was never held.

    Raises NotHeldError, and InputError where the result would not fit its columns.
    """
    held = position or NOTHING_HELD
    if step.kind == "sell":
        if step.shares > held.shares:
            raise NotHeldError(
                f"{held.shares} are held at {step.date.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, "
                f"and {step.shares} were to be sold",
                operation="sell",
                target=symbol,
            )
        if step.shares == held.shares:
            return NOTHING_HELD
        return Position(EXACT.subtract(held.shares, step.shares), held.average)
    if step.kind == "dividend":
        if position is None:
            raise NotHeldError("was never held by then", operation="pay a dividend on", target=symbol)
        return position
    shares = EXACT.add(held.shares, step.shares)
    paid = EXACT.add(EXACT.multiply(held.shares, held.average), EXACT.multiply(step.shares, step.price))
    bought = Position(shares, rounded(EXACT.divide(paid, shares), 6))
    if not fits(shares, 15, 6) or not fits(bought.cost, 15, 2):
        raise InputError(
            f"{shares} shares at {bought.average} are more than a position can hold",
            operation="buy",
            target=symbol,
            hint="fewer than 1,000,000,000 shares, and less than 10,000,000,000,000 in all",
        )
    return bought


def fold(steps: Iterable[Step], *, symbol: str) -> Position | None:
    """The position that these transactions, in whatever order they come, end in. Raises as `after`."""
    position: Position | None = None
    for step in sorted(steps, key=lambda step: step.place):
        position = after(position, step, symbol=symbol)
    return position
