"""What the rules of the deals domain refuse, where callers may want to tell one from the other.

RefusedError
├── InsufficientTokensError   the balance would fall below zero
├── GoalBudgetError           the goal would cost more tokens than it may
├── ReferenceTakenError       the reference stands for another posting, which is its `posting`
├── CodeRefusedError          a redemption code gives nothing
│   ├── CodeExpiredError      it has expired, or was withdrawn
│   ├── CodeExhaustedError    it was redeemed as often as it may be
│   └── CodeRedeemedError     this user has redeemed it
├── NoPriceError              no price of the service is in force
└── WithdrawnDealError        a deal that was removed takes no price
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storekeeper import RefusedError

if TYPE_CHECKING:
    from storekeeper.domains.deals.entities import TokenTransaction


class InsufficientTokensError(RefusedError):
    """The balance would fall below zero."""


class GoalBudgetError(RefusedError):
    """The goal would cost more tokens than it may."""


class ReferenceTakenError(RefusedError):
    """The reference stands for another posting."""

    def __init__(
        self,
        cause: str = "",
        *,
        operation: str = "",
        target: str = "",
        hint: str = "",
        posting: TokenTransaction | None = None,
    ) -> None:
        super().__init__(cause, operation=operation, target=target, hint=hint)
        self.posting = posting


class CodeRefusedError(RefusedError):
    """The code gives nothing."""


class CodeExpiredError(CodeRefusedError):
    """The code has expired, or was withdrawn."""


class CodeExhaustedError(CodeRefusedError):
    """The code was redeemed as often as it may be."""


class CodeRedeemedError(CodeRefusedError):
    """The user has redeemed the code."""


class NoPriceError(RefusedError):
    """No price of the service is in force."""


class WithdrawnDealError(RefusedError):
    """The deal was removed, and takes no price."""
