"""Portfolios: one default at most, and none is deleted that has transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from invest_domain_async import AT, effects_recorded, invest_platform, new_user, order
from storekeeper import AsyncPlatform, InputError, NotFoundError
from storekeeper.domains.invest.entities import Portfolio
from storekeeper.domains.invest.errors import PortfolioInUseError
from storekeeper.domains.invest.operations.portfolios_async import (
    NewPortfolio,
    create_portfolio,
    delete_portfolio,
    make_default,
    rename_portfolio,
)
from storekeeper.domains.invest.operations.trades_async import buy


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with invest_platform(migrated_url) as opened:
        yield opened


async def created(platform: AsyncPlatform, user_id: UUID, name: str, *, default: bool = False) -> Portfolio:
    async with platform.postgres.session(user_id=user_id) as session:
        return await create_portfolio(session, NewPortfolio(user_id, name, is_default=default))


async def defaults(platform: AsyncPlatform, user_id: UUID) -> dict[str, bool]:
    async with platform.postgres.session(user_id=user_id) as session:
        rows = await session.execute(
            sa.select(Portfolio.name, Portfolio.is_default).where(Portfolio.user_id == user_id)
        )
        return {row.name: row.is_default for row in rows}


async def test_the_first_is_the_default_until_another_is(platform: AsyncPlatform) -> None:
    ada, bob = await new_user(platform, "ada"), await new_user(platform, "bob")
    first = await created(platform, ada, "First")
    assert (first.is_default, first.currency, first.initial_value) == (True, "USD", Decimal("0.00"))
    await created(platform, ada, "Second")
    assert await effects_recorded(platform) == []
    await created(platform, ada, "Third", default=True)
    # what is cached was the first one's
    assert await effects_recorded(platform) == [("invest.portfolio_changed", f"user:{ada}")]
    await created(platform, bob, "His")
    assert await defaults(platform, ada) == {"First": False, "Second": False, "Third": True}
    async with platform.postgres.session(user_id=ada) as session:
        assert (await make_default(session, first.id)).is_default
        await make_default(session, first.id)  # which changes nothing
    assert await defaults(platform, ada) == {"First": True, "Second": False, "Third": False}
    assert await defaults(platform, bob) == {"His": True}


async def test_renaming(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    portfolio = await created(platform, ada, "First")
    async with platform.postgres.session(user_id=ada) as session:
        renamed = await rename_portfolio(session, portfolio.id, "Engines")
        assert renamed.updated_at > portfolio.updated_at
    assert await defaults(platform, ada) == {"Engines": True}


async def test_one_with_transactions_stays(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    first, second = await created(platform, ada, "First"), await created(platform, ada, "Second")
    async with platform.postgres.session(user_id=ada) as session:
        await buy(session, order(first, 1), at=AT)
    with pytest.raises(PortfolioInUseError, match="kept for seven years"):
        async with platform.postgres.session(user_id=ada) as session:
            await delete_portfolio(session, first.id)
    async with platform.postgres.session(user_id=ada) as session:
        await delete_portfolio(session, second.id)
    assert await defaults(platform, ada) == {"First": True}
    deleted = [key for effect, key in await effects_recorded(platform) if effect == "invest.portfolio_deleted"]
    assert deleted == [f"portfolio:{second.id}"]


async def test_a_deleted_default_passes_it_on_to_the_oldest(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    for name in ("First", "Second", "Third"):
        last = await created(platform, ada, name, default=True)
    async with platform.postgres.session(user_id=ada) as session:
        await delete_portfolio(session, last.id)
    assert await defaults(platform, ada) == {"First": True, "Second": False}


async def test_what_is_not_there(platform: AsyncPlatform) -> None:
    nobody = uuid4()
    for operation in (make_default, delete_portfolio):
        with pytest.raises(NotFoundError, match="or it is not yours"):
            async with platform.postgres.session() as session:
                await operation(session, nobody)
    with pytest.raises(NotFoundError, match="no user"):
        await created(platform, nobody, "First")
    with pytest.raises(InputError, match="initial_value"):
        NewPortfolio(nobody, "First", initial_value=Decimal("0.001"))
