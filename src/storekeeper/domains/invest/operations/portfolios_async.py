"""Portfolios: at most one of a user's is the default, and one with transactions stays."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import record_async
from storekeeper.domains.invest import effects
from storekeeper.domains.invest.entities import Portfolio, Transaction
from storekeeper.domains.invest.errors import PortfolioInUseError
from storekeeper.domains.invest.exact import checked
from storekeeper.domains.invest.operations.acting_async import locked_portfolio, locked_user


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


async def create_portfolio(session: AsyncSession, wanted: NewPortfolio) -> Portfolio:
    """Makes a portfolio; where it is the default one, no other of the user's is any more. Raises NotFoundError."""
    await locked_user(session, wanted.user_id, "create a portfolio")
    default = await session.scalar(sa.select(Portfolio.id).where(Portfolio.user_id == wanted.user_id, _DEFAULT))
    if wanted.is_default and default is not None:
        await _no_default(session, wanted.user_id)
        await _changed(session, wanted.user_id)
    portfolio = Portfolio(
        user_id=wanted.user_id,
        name=wanted.name,
        description=wanted.description,
        currency=wanted.currency,
        initial_value=wanted.initial_value,
        is_default=wanted.is_default or default is None,
    )
    session.add(portfolio)
    await session.flush()
    return portfolio


async def make_default(session: AsyncSession, portfolio_id: UUID) -> Portfolio:
    """Makes a portfolio its user's default, in place of the one that was. Raises NotFoundError."""
    portfolio = await _locked_with_its_user(session, portfolio_id, "make default")
    if not portfolio.is_default:
        await _no_default(session, portfolio.user_id)
        portfolio.is_default = True
        await _changed(session, portfolio.user_id)
        await session.flush()
    return portfolio


async def rename_portfolio(session: AsyncSession, portfolio_id: UUID, name: str) -> Portfolio:
    """Gives a portfolio another name. Raises NotFoundError."""
    portfolio = await locked_portfolio(session, portfolio_id, "rename")
    portfolio.name = name
    await session.flush()
    return portfolio


async def delete_portfolio(session: AsyncSession, portfolio_id: UUID) -> None:
    """Deletes a portfolio, its snapshots soon after. Where it was the default, its user's oldest one now is.

    Raises PortfolioInUseError while it has transactions, which are kept for seven years; NotFoundError.
    """
    portfolio = await _locked_with_its_user(session, portfolio_id, "delete")
    if await session.scalar(sa.select(sa.exists().where(Transaction.portfolio_id == portfolio_id))):
        raise PortfolioInUseError(
            operation="delete",
            target=f"invest.portfolios {portfolio_id}",
            hint="transactions are kept for seven years, and their portfolio with them; rename it",
        )
    user_id, was_default = portfolio.user_id, portfolio.is_default
    await session.delete(portfolio)
    await session.flush()
    if was_default:
        oldest = await session.scalar(
            sa.select(Portfolio)
            .where(Portfolio.user_id == user_id)
            .order_by(Portfolio.created_at, Portfolio.id)
            .limit(1)
            .with_for_update(key_share=True)
        )
        if oldest is not None:
            oldest.is_default = True
            await session.flush()
    await record_async(
        session,
        effects.PORTFOLIO_DELETED,
        key=effects.of_portfolio(portfolio_id),
        payload=effects.OfPortfolio(portfolio_id=portfolio_id),
    )
    await _changed(session, user_id)


_DEFAULT = Portfolio.is_default.is_(sa.true())


async def _locked_with_its_user(session: AsyncSession, portfolio_id: UUID, operation: str) -> Portfolio:
    user_id = await session.scalar(sa.select(Portfolio.user_id).where(Portfolio.id == portfolio_id))
    if user_id is not None:
        await locked_user(session, user_id, operation)
    return await locked_portfolio(session, portfolio_id, operation)


async def _no_default(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(sa.update(Portfolio).where(Portfolio.user_id == user_id, _DEFAULT).values(is_default=False))


async def _changed(session: AsyncSession, user_id: UUID) -> None:
    await record_async(
        session,
        effects.PORTFOLIO_CHANGED,
        key=effects.of_user(user_id),
        payload=effects.OfUser(user_id=user_id),
    )
