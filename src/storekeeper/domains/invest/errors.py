"""What the rules of the invest domain refuse, where callers may want to tell one from the other.

RefusedError
├── AddressTakenError        an account with this address exists
├── WrongTokenError          a token that is unknown, used or expired
├── NotHeldError             more would be sold than is held, or a dividend be paid on what never was
├── AlreadyRecordedError     the id of a transaction stands for another one
├── HistoryError             a transaction has no place in the history that is kept
└── PortfolioInUseError      a portfolio that has transactions
"""

from __future__ import annotations

from storekeeper import RefusedError


class AddressTakenError(RefusedError):
    """An account with this address exists."""


class WrongTokenError(RefusedError):
    """The token is unknown, was used, or has expired."""


class NotHeldError(RefusedError):
    """More would be sold than is held."""


class AlreadyRecordedError(RefusedError):
    """The id stands for another transaction."""


class HistoryError(RefusedError):
    """The transaction has no place in the history that is kept."""


class PortfolioInUseError(RefusedError):
    """The portfolio has transactions."""
