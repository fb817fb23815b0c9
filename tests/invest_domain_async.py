"""What tests of the invest domain's operations share: a platform over one migrated database, and people in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa

from storekeeper import AsyncPlatform, connect_async
from storekeeper.domains.invest.entities import Portfolio, PortfolioAsset, User
from storekeeper.domains.invest.operations.trades_async import Order

#: Later than every order below, and in a year that has a partition.
AT = datetime.now(UTC)
DAY = timedelta(days=1)
ENGINE = "ENGN"


@asynccontextmanager
async def invest_platform(url: str, *others: Literal["timescale"]) -> AsyncIterator[AsyncPlatform]:
    """The relational store of a migrated database, and others in the same one."""
    async with connect_async(stores=("postgres", *others), postgres_url=url, timescale_url=url) as platform:
        yield platform


async def new_user(platform: AsyncPlatform, name: str = "ada") -> UUID:
    """A user without anything."""
    user = User(
        id=uuid4(), email=f"{name}.{uuid4().hex}@example.org", password_hash="x", first_name=name, last_name="L"
    )
    async with platform.postgres.session(user_id=user.id) as session:
        session.add(user)
    return user.id


async def new_portfolio(platform: AsyncPlatform, user_id: UUID | None = None) -> Portfolio:
    """An empty portfolio, of a user of its own where none is given."""
    portfolio = Portfolio(user_id=user_id or await new_user(platform), name="Engines")
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        session.add(portfolio)
    return portfolio


def order(portfolio: Portfolio, shares: Decimal | int | str, price: Decimal | int | str = 10, **other: Any) -> Order:
    """An order of ENGN, dated a day ago unless it says otherwise."""
    fields: dict[str, Any] = {"symbol": ENGINE, "date": AT - DAY, **other}
    return Order(portfolio_id=portfolio.id, shares=Decimal(shares), price=Decimal(price), **fields)


async def held(platform: AsyncPlatform, portfolio: Portfolio) -> dict[str, tuple[Decimal, Decimal]]:
    """What is stored of a portfolio: shares and average price, by symbol."""
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        rows = await session.scalars(sa.select(PortfolioAsset).where(PortfolioAsset.portfolio_id == portfolio.id))
        return {asset.symbol: (asset.shares, asset.avg_purchase_price) for asset in rows}


async def effects_recorded(platform: AsyncPlatform) -> list[tuple[str, str]]:
    """What the outbox holds: (effect, key), in order."""
    async with platform.postgres.session() as session:
        rows = await session.execute(sa.text("SELECT effect, key FROM storekeeper.outbox ORDER BY id"))
        return [(row.effect, row.key) for row in rows]
