"""Many at the same time: nothing is oversold, nothing doubled, nothing lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from invest_domain_async import AT, DAY, ENGINE, effects_recorded, held, invest_platform, new_portfolio, new_user, order
from storekeeper import AsyncPlatform
from storekeeper.domains.invest.entities import Portfolio, PriceAlert, Transaction
from storekeeper.domains.invest.errors import NotHeldError
from storekeeper.domains.invest.operations.alerts_async import evaluate
from storekeeper.domains.invest.operations.portfolios_async import (
    NewPortfolio,
    create_portfolio,
    delete_portfolio,
    make_default,
)
from storekeeper.domains.invest.operations.trades_async import Order, buy, positions_by_history, sell
from storekeeper.domains.invest.operations.watchlists_async import add_symbols, create_watchlist
from storekeeper.domains.invest.ticks import Tick


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with invest_platform(migrated_url) as opened:
        yield opened


async def sold(platform: AsyncPlatform, portfolio: Portfolio, wanted: Order) -> bool:
    try:
        async with platform.postgres.session(user_id=portfolio.user_id) as session:
            await sell(session, wanted, at=AT)
    except NotHeldError:
        return False
    return True


async def bought(platform: AsyncPlatform, portfolio: Portfolio, wanted: Order) -> bool:
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        await buy(session, wanted, at=AT)
    return True


async def by_history(platform: AsyncPlatform, portfolio: Portfolio) -> dict[str, tuple[Decimal, Decimal]]:
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        folded = await positions_by_history(session, portfolio.id)
    return {symbol: (position.shares, position.average) for symbol, position in folded.items()}


async def test_fifty_sell_what_suffices_for_twenty(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    await bought(platform, portfolio, order(portfolio, 20, date=AT - 2 * DAY))
    done = await asyncio.gather(*(sold(platform, portfolio, order(portfolio, 1, 11)) for _ in range(50)))
    assert sum(done) == 20
    assert await held(platform, portfolio) == await by_history(platform, portfolio) == {}


async def test_purchases_and_sales_at_once_end_in_their_fold(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    await bought(platform, portfolio, order(portfolio, 5, date=AT - 3 * DAY))
    chance = random.Random(7)
    work = []
    for number in range(60):
        # dates in no order: many of them come late
        date = AT - timedelta(minutes=chance.randrange(1, 2000))
        wanted = order(portfolio, chance.randrange(1, 4), chance.randrange(5, 20), date=date)
        work.append((bought if number % 2 else sold)(platform, portfolio, wanted))
    done = await asyncio.gather(*work)
    assert any(done)
    stored = await held(platform, portfolio)
    assert stored == await by_history(platform, portfolio)
    async with platform.postgres.session() as session:
        shares = sa.func.sum(Transaction.shares)
        rows = await session.execute(
            sa.select(Transaction.transaction_type, shares).group_by(Transaction.transaction_type)
        )
        sums = {row[0]: row[1] for row in rows}
    assert sums["buy"] - sums["sell"] == stored.get(ENGINE, (0, 0))[0]


async def test_one_order_sent_twenty_times(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    wanted = order(portfolio, 3)
    await asyncio.gather(*(bought(platform, portfolio, wanted) for _ in range(20)))
    assert await held(platform, portfolio) == {ENGINE: (Decimal(3), Decimal(10))}
    assert len(await effects_recorded(platform)) == 1


async def test_many_choose_another_default(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)

    async def made(number: int) -> Portfolio:
        async with platform.postgres.session(user_id=ada) as session:
            return await create_portfolio(session, NewPortfolio(ada, f"P{number}", is_default=number % 2 == 0))

    async def chosen(portfolio_id: UUID) -> None:
        async with platform.postgres.session(user_id=ada) as session:
            await make_default(session, portfolio_id)

    async def deleted(portfolio_id: UUID) -> None:
        async with platform.postgres.session(user_id=ada) as session:
            await delete_portfolio(session, portfolio_id)

    portfolios = await asyncio.gather(*(made(number) for number in range(10)))
    assert await defaults(platform, ada) == 1
    await asyncio.gather(
        *(chosen(portfolio.id) for portfolio in portfolios[:8] for _ in range(4)),
        *(deleted(portfolio.id) for portfolio in portfolios[8:]),
    )
    assert await defaults(platform, ada) == 1


async def defaults(platform: AsyncPlatform, user_id: UUID) -> int | None:
    async with platform.postgres.session(user_id=user_id) as session:
        return await session.scalar(
            sa.select(sa.func.count()).select_from(Portfolio).where(Portfolio.user_id == user_id, Portfolio.is_default)
        )


async def test_evaluators_trigger_each_alert_once(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    async with platform.postgres.session(user_id=ada) as session:
        session.add_all(
            PriceAlert(user_id=ada, symbol=f"S{number % 4}", alert_type="price", target_price=10, condition="above")
            for number in range(40)
        )
    chance = random.Random(7)

    async def evaluated(symbols: Sequence[str]) -> list[UUID]:
        ticks = [Tick(symbol, AT, Decimal(11)) for symbol in symbols]

        async def run(session: AsyncSession) -> list[UUID]:
            return [alert.alert_id for alert in await evaluate(session, ticks, at=AT)]

        return await platform.postgres.perform(run, retries=0)

    told = await asyncio.gather(*(evaluated(chance.sample(["S0", "S1", "S2", "S3"], 3)) for _ in range(16)))
    ids = [id_ for some in told for id_ in some]
    assert len(ids) == len(set(ids)) == 40
    assert len(await effects_recorded(platform)) == 40


async def test_many_add_the_same_symbols(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    async with platform.postgres.session(user_id=ada) as session:
        watchlist = await create_watchlist(session, ada, "Engines")

    async def added() -> int:
        symbols = [f"S{number}" for number in random.sample(range(30), 30)]
        async with platform.postgres.session(user_id=ada) as session:
            return await add_symbols(session, watchlist.id, symbols)

    assert sum(await asyncio.gather(*(added() for _ in range(12)))) == 30
