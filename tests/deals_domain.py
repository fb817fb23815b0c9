"""Rows of the deals domain for tests, and a plain model of its token ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper.domains.deals.entities import Deal, Goal, Market, RedemptionCode, TokenPricing, User
from storekeeper.domains.deals.postings import Posting
from storekeeper.stores.sql.urls import sqlalchemy_url

MOMENT = datetime(2026, 1, 2, 12, tzinfo=UTC)


@contextmanager
def administrator(url: str) -> Iterator[Session]:
    """One transaction of somebody who sees and writes all rows."""
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def stored(url: str, *entities: object) -> None:
    """Writes rows that a test begins with, in the order in which they are given."""
    with administrator(url) as session:
        for entity in entities:
            session.add(entity)
            session.flush()


def person(**given: object) -> User:
    """A user who has not been there before."""
    user_id = uuid4()
    return User(**{"id": user_id, "email": f"{user_id}@example.org", "hashed_password": "x", **given})


def shop(**given: object) -> Market:
    market_id = uuid4()
    return Market(
        **{"id": market_id, "name": f"shop {market_id}", "type": "ebay", "base_url": "https://example.org", **given}
    )


def offer(market_id: UUID, **given: object) -> Deal:
    plain = {"category": "books", "source": "ebay", "title": "t", "url": "https://example.org/1"}
    return Deal(**{"id": uuid4(), "market_id": market_id, "current_price": Decimal("10.00"), **plain, **given})


def wish(user_id: UUID, **given: object) -> Goal:
    return Goal(**{"id": uuid4(), "user_id": user_id, "title": "t", "category": "books", **given})


def code(**given: object) -> RedemptionCode:
    code_id = uuid4()
    return RedemptionCode(**{"id": code_id, "code": f"C-{code_id}", "token_amount": 50, **given})


def pricing(service: str, **given: object) -> TokenPricing:
    plain = {"token_cost": Decimal(2), "valid_from": datetime(2026, 1, 1, tzinfo=UTC)}
    return TokenPricing(**{"id": uuid4(), "service_type": service, **plain, **given})


@dataclass
class Ledger:
    """What one user's tokens are by plain arithmetic; `expect` says what becomes of a posting."""

    budgets: dict[UUID, Decimal | None] = field(default_factory=dict)
    balance: Decimal = Decimal(0)
    earned: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    posted: list[Posting] = field(default_factory=list)
    goals: dict[UUID, Decimal] = field(default_factory=dict)

    def expect(self, posting: Posting) -> str:
        """posted, repeated, differs, insufficient or budget; the state follows."""
        for past in self.posted:
            if posting.reference_id is not None and past.reference_id == posting.reference_id:
                same = (past.type, past.amount, past.goal_id) == (posting.type, posting.amount, posting.goal_id)
                return "repeated" if same else "differs"
        if self.balance + posting.amount < 0:
            return "insufficient"
        if posting.goal_id is not None:
            most = self.budgets[posting.goal_id]
            cost = self.goals.get(posting.goal_id, Decimal(0)) - posting.amount
            if posting.amount < 0 and most is not None and cost > most:
                return "budget"
            self.goals[posting.goal_id] = max(cost, Decimal(0))
        self.balance += posting.amount
        self.earned += max(posting.amount, Decimal(0))
        self.spent += max(-posting.amount, Decimal(0))
        self.posted.append(posting)
        return "posted"
