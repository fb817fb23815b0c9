"""Valuing a portfolio: its assets, the total, and the snapshot that follows in the timescale store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from invest_domain_async import AT, DAY, ENGINE, invest_platform, new_portfolio, order
from storekeeper import AsyncPlatform, InputError
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.effects import Snapshot
from storekeeper.domains.invest.entities import Portfolio, PortfolioAsset
from storekeeper.domains.invest.operations.trades_async import buy
from storekeeper.domains.invest.operations.valuation_async import Valuation, latest_prices, value_now, value_portfolio
from storekeeper.domains.invest.positions import Position
from storekeeper.domains.invest.worth import Price, worth

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with invest_platform(migrated_url, "timescale") as opened:
        yield opened


async def stocked(platform: AsyncPlatform) -> Portfolio:
    """3 ENGN at 10, 2 COIN at 50 (a currency), 1 RARE at 7."""
    portfolio = await new_portfolio(platform)
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        await buy(session, order(portfolio, 3), at=AT)
        await buy(session, order(portfolio, 2, 50, symbol="COIN", asset_type="crypto"), at=AT)
        await buy(session, order(portfolio, 1, 7, symbol="RARE"), at=AT)
    return portfolio


async def valued(
    platform: AsyncPlatform, portfolio: Portfolio, prices: dict[str, Price], before: str | None = None
) -> Valuation:
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        known = None if before is None else Decimal(before)
        return await value_portfolio(session, portfolio.id, prices, at=AT, before=known)


async def assets(platform: AsyncPlatform, portfolio: Portfolio) -> dict[str, PortfolioAsset]:
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        found = (await session.scalars(queries.portfolio(portfolio.id))).one()
        return {asset.symbol: asset for asset in found.assets}


async def recorded(platform: AsyncPlatform) -> Snapshot:
    async with platform.postgres.session() as session:
        payload = await session.scalar(
            sa.text(
                "SELECT payload FROM storekeeper.outbox WHERE effect = 'invest.portfolio_valued' "
                "ORDER BY id DESC LIMIT 1"
            )
        )
        return Snapshot.model_validate(payload)


async def test_a_portfolio_at_its_prices(platform: AsyncPlatform) -> None:
    portfolio = await stocked(platform)
    prices = {ENGINE: Price(Decimal("12.345"), AT - MINUTE), "COIN": Price(Decimal(40), AT - MINUTE)}
    done = await valued(platform, portfolio, prices, before="100.00")
    # 37.04 and 80 of 30 and 100; RARE at the 7 that it cost
    assert (done.total.value, done.total.gain, done.unpriced) == (Decimal("124.04"), Decimal("-12.96"), ("RARE",))
    assert done.total.gain_percent == Decimal("-9.4599")
    assert (done.total.day_change, done.total.day_change_percent) == (Decimal("24.04"), Decimal("24.0400"))
    allocation = done.total.allocation
    assert {name: str(part.percent) for name, part in allocation.symbols.items()} == {
        "COIN": "64.4953",
        ENGINE: "29.8613",
        "RARE": "5.6433",
    }
    assert {name: part.value for name, part in allocation.types.items()} == {
        "crypto": Decimal(80),
        "stock": Decimal("44.04"),
    }
    stored = await assets(platform, portfolio)
    engine, rare = stored[ENGINE], stored["RARE"]
    assert (engine.current_price, engine.current_value) == (Decimal("12.345"), Decimal("37.04"))
    assert (engine.unrealized_gain, engine.unrealized_gain_percent) == (Decimal("7.04"), Decimal("23.4667"))
    assert engine.last_price_update == AT - MINUTE
    assert (rare.current_price, rare.current_value) == (None, None)
    snapshot = await recorded(platform)
    assert (snapshot.portfolio_id, snapshot.time, snapshot.total_value) == (portfolio.id, AT, Decimal("124.04"))
    assert snapshot.asset_allocation == allocation


async def test_no_price_goes_back_in_time(platform: AsyncPlatform) -> None:
    portfolio = await stocked(platform)
    await valued(platform, portfolio, {ENGINE: Price(Decimal(20), AT - MINUTE)})
    before = (await assets(platform, portfolio))[ENGINE]
    older = await valued(platform, portfolio, {ENGINE: Price(Decimal(1), AT - 2 * MINUTE)})
    after = (await assets(platform, portfolio))[ENGINE]
    assert older.total.value == Decimal(60 + 100 + 7)
    assert (after.current_price, after.updated_at) == (Decimal(20), before.updated_at)
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        await buy(session, order(portfolio, 1, 30), at=AT)  # what is held more is worth more
    bought = (await assets(platform, portfolio))[ENGINE]
    assert (bought.avg_purchase_price, bought.current_value, bought.unrealized_gain) == (
        *(Decimal(15), Decimal(80)),
        Decimal(20),
    )


async def test_a_price_of_the_same_moment_corrects_the_one_before(platform: AsyncPlatform) -> None:
    portfolio = await stocked(platform)
    for price in (Decimal(20), Decimal(21)):
        done = await valued(platform, portfolio, {ENGINE: Price(price, AT - MINUTE)})
        asset = (await assets(platform, portfolio))[ENGINE]
        assert (asset.current_price, asset.current_value) == (price, 3 * price)
        assert done.total.allocation.symbols[ENGINE].value == 3 * price


async def test_what_columns_cannot_hold(platform: AsyncPlatform) -> None:
    portfolio = await stocked(platform)
    done = await valued(platform, portfolio, {ENGINE: Price(Decimal(1000), AT)}, before="0.00")
    assert (done.total.day_change, done.total.day_change_percent) == (Decimal(3107), None)
    assert (await assets(platform, portfolio))[ENGINE].unrealized_gain_percent is None  # 9900 percent
    with pytest.raises(InputError, match="more than can be kept"):
        worth(Position(Decimal(20), Decimal(1)), Decimal(999_999_999_999), symbol=ENGINE)
    for wrong in (Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("0.0000001")):
        with pytest.raises(InputError):
            Price(wrong, AT)
    empty = await new_portfolio(platform)
    nothing = await valued(platform, empty, {})
    assert (nothing.total.value, nothing.total.gain_percent, nothing.total.allocation.symbols) == (Decimal(0), None, {})


async def test_the_latest_prices_of_the_store(platform: AsyncPlatform) -> None:
    portfolio = await stocked(platform)
    now = platform.clock.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    bar = {"open": 9, "high": 12, "low": 8, "volume": 1}
    await platform.timescale.append(
        "invest.stock_prices",
        [
            {"time": today - DAY, "symbol": ENGINE, "close": 11, **bar},
            {"time": today - DAY, "symbol": "COIN", "close": 60, **bar},
        ],
    )
    tick = {"time": today - DAY + MINUTE, "symbol": ENGINE, "price": Decimal("11.5"), "volume": 1}
    await platform.timescale.append("invest.intraday_prices", [tick])
    for days, value in ((2, 90), (1, 100), (0, 110)):
        row = {"time": today - days * DAY, "portfolio_id": str(portfolio.id), "total_value": value}
        await platform.timescale.append("invest.portfolio_snapshots", [row])
    assert await latest_prices(platform, [ENGINE, "COIN", "RARE"]) == {
        ENGINE: Price(Decimal("11.5"), today - DAY + MINUTE),
        "COIN": Price(Decimal(60), today - DAY),
    }
    done = await value_now(platform, portfolio.id, user_id=portfolio.user_id)
    assert (done.total.value, done.unpriced) == (Decimal("34.50") + 120 + 7, ("RARE",))
    assert done.total.day_change == Decimal("61.50")  # against yesterday's, whatever today's say
    assert datetime.now(UTC) >= done.at == (await recorded(platform)).time
