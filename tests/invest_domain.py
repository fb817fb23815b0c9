# Generated from invest_domain_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What tests of the invest domain's operations share: a platform over one migrated database, and people in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa

from storekeeper import Platform, connect
from storekeeper.domains.invest.entities import Portfolio, PortfolioAsset, User
from storekeeper.domains.invest.operations.trades import Order

#: Later than every order below, and in a year that has a partition.
AT = datetime.now(UTC)
DAY = timedelta(days=1)
ENGINE = "ENGN"


@contextmanager
def invest_platform(url: str, *others: Literal["timescale"]) -> Iterator[Platform]:
    """The relational store of a migrated database, and others in the same one."""
    with connect(stores=("postgres", *others), postgres_url=url, timescale_url=url) as platform:
        yield platform


def new_user(platform: Platform, name: str = "ada") -> UUID:
    """A user without anything."""
    user = User(
        id=uuid4(), email=f"{name}.{uuid4().hex}@example.org", password_hash="x", first_name=name, last_name="L"
    )
    with platform.postgres.session(user_id=user.id) as session:
        session.add(user)
    return user.id


def new_portfolio(platform: Platform, user_id: UUID | None = None) -> Portfolio:
    """An empty portfolio, of a user of its own where none is given."""
    portfolio = Portfolio(user_id=user_id or new_user(platform), name="Engines")
    with platform.postgres.session(user_id=portfolio.user_id) as session:
        session.add(portfolio)
    return portfolio


def order(portfolio: Portfolio, shares: Decimal | int | str, price: Decimal | int | str = 10, **other: Any) -> Order:
    """An order of ENGN, dated a day ago unless it says otherwise."""
    fields: dict[str, Any] = {"symbol": ENGINE, "date": AT - DAY, **other}
    return Order(portfolio_id=portfolio.id, shares=Decimal(shares), price=Decimal(price), **fields)


def held(platform: Platform, portfolio: Portfolio) -> dict[str, tuple[Decimal, Decimal]]:
    """What is stored of a portfolio: shares and average price, by symbol."""
    with platform.postgres.session(user_id=portfolio.user_id) as session:
        rows = session.scalars(sa.select(PortfolioAsset).where(PortfolioAsset.portfolio_id == portfolio.id))
        return {asset.symbol: (asset.shares, asset.avg_purchase_price) for asset in rows}


def effects_recorded(platform: Platform) -> list[tuple[str, str]]:
    """What the outbox holds: (effect, key), in order."""
    with platform.postgres.session() as session:
        rows = session.execute(sa.text("SELECT effect, key FROM storekeeper.outbox ORDER BY id"))
        return [(row.effect, row.key) for row in rows]
