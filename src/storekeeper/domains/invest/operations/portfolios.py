# Generated from portfolios_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Portfolios: at most one of a user's is the default, and one with transactions stays."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import record
from storekeeper.domains.invest import effects
from storekeeper.domains.invest.entities import Portfolio, Transaction
from storekeeper.domains.invest.errors import PortfolioInUseError
from storekeeper.domains.invest.exact import checked
from storekeeper.domains.invest.operations.acting import locked_portfolio, locked_user


@dataclass(frozen=True, slots=True)
class NewPortfolio:
    """A portfolio to be made. A user's first one is the default, whatever `is_default` says."""

    user_id: UUID
    name: str
    description: str | None = None
    currency: str = "USD"
    initial_value: Decimal = Decimal("0.00")
    is_default: bool = False

    def __post_init__(self) -> None:
        checked(self.initial_value, 15, 2, name="initial_value", operation="create a portfolio")


def create_portfolio(session: Session, wanted: NewPortfolio) -> Portfolio:
    """Makes a portfolio; where it is the default one, no other of the user's is any more. Raises NotFoundError."""
    locked_user(session, wanted.user_id, "create a portfolio")
    default = session.scalar(sa.select(Portfolio.id).where(Portfolio.user_id == wanted.user_id, _DEFAULT))
    if wanted.is_default and default is not None:
        _no_default(session, wanted.user_id)
        _changed(session, wanted.user_id)
    portfolio = Portfolio(
        user_id=wanted.user_id,
        name=wanted.name,
        description=wanted.description,
        currency=wanted.currency,
        initial_value=wanted.initial_value,
        is_default=wanted.is_default or default is None,
    )
    session.add(portfolio)
    session.flush()
    return portfolio


def make_default(session: Session, portfolio_id: UUID) -> Portfolio:
    """Makes a portfolio its user's default, in place of the one that was. Raises NotFoundError."""
    portfolio = _locked_with_its_user(session, portfolio_id, "make default")
    if not portfolio.is_default:
        _no_default(session, portfolio.user_id)
        portfolio.is_default = True
        _changed(session, portfolio.user_id)
        session.flush()
    return portfolio


def rename_portfolio(session: Session, portfolio_id: UUID, name: str) -> Portfolio:
    """Gives a portfolio another name. Raises NotFoundError."""
    portfolio = locked_portfolio(session, portfolio_id, "rename")
    portfolio.name = name
    session.flush()
    return portfolio


def delete_portfolio(session: Session, portfolio_id: UUID) -> None:
    """Deletes a portfolio, its snapshots soon after. Where it was the default, its user's oldest one now is.

    Raises PortfolioInUseError while it has transactions, which are kept for seven years; NotFoundError.
    """
    portfolio = _locked_with_its_user(session, portfolio_id, "delete")
    if session.scalar(sa.select(sa.exists().where(Transaction.portfolio_id == portfolio_id))):
        raise PortfolioInUseError(
            operation="delete",
            target=f"invest.portfolios {portfolio_id}",
            hint="transactions are kept for seven years, and their portfolio with them; rename it",
        )
    user_id, was_default = portfolio.user_id, portfolio.is_default
    session.delete(portfolio)
    session.flush()
    if was_default:
        oldest = session.scalar(
            sa.select(Portfolio)
            .where(Portfolio.user_id == user_id)
            .order_by(Portfolio.created_at, Portfolio.id)
            .limit(1)
            .with_for_update(key_share=True)
        )
        if oldest is not None:
            oldest.is_default = True
            session.flush()
    record(
        session,
        effects.PORTFOLIO_DELETED,
        key=effects.of_portfolio(portfolio_id),
        payload=effects.OfPortfolio(portfolio_id=portfolio_id),
    )
    _changed(session, user_id)


_DEFAULT = Portfolio.is_default.is_(sa.true())


def _locked_with_its_user(session: Session, portfolio_id: UUID, operation: str) -> Portfolio:
    user_id = session.scalar(sa.select(Portfolio.user_id).where(Portfolio.id == portfolio_id))
    if user_id is not None:
        locked_user(session, user_id, operation)
    return locked_portfolio(session, portfolio_id, operation)


def _no_default(session: Session, user_id: UUID) -> None:
    session.execute(sa.update(Portfolio).where(Portfolio.user_id == user_id, _DEFAULT).values(is_default=False))


def _changed(session: Session, user_id: UUID) -> None:
    record(
        session,
        effects.PORTFOLIO_CHANGED,
        key=effects.of_user(user_id),
        payload=effects.OfUser(user_id=user_id),
    )
