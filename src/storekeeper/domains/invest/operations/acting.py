# Generated from acting_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Who acts in a transaction, and the rows that operations lock first."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import NotFoundError
from storekeeper.domains.invest.entities import Portfolio, User

_Row = TypeVar("_Row", User, Portfolio)


def act_as(session: Session, user_id: UUID) -> None:
    """From here to the end of the transaction row-level security takes it for this user's, who has just proved it."""
    session.execute(sa.select(sa.func.set_config("app.current_user_id", str(user_id), True)))


def locked_user(session: Session, user_id: UUID, operation: str) -> User:
    """The user, locked against every change but of what refers to them. Raises NotFoundError."""
    found = session.scalar(_locking(sa.select(User).where(User.id == user_id)))
    if found is None:
        raise NotFoundError(f"there is no user {user_id}, or it is not you", operation=operation, target="invest.users")
    return found


def locked_portfolio(session: Session, portfolio_id: UUID, operation: str) -> Portfolio:
    """The portfolio, locked: whoever changes what it holds waits here. Raises NotFoundError."""
    found = session.scalar(_locking(sa.select(Portfolio).where(Portfolio.id == portfolio_id)))
    if found is None:
        raise NotFoundError(
            f"there is no portfolio {portfolio_id}, or it is not yours", operation=operation, target="invest.portfolios"
        )
    return found


def _locking(statement: sa.Select[_Row]) -> sa.Select[_Row]:
    # what the session knew of the row may be older than the lock
    return statement.with_for_update(key_share=True).execution_options(populate_existing=True)
