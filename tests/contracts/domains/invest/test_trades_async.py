"""Purchases, sales and dividends: the position is the fold of its transactions, whatever comes in whatever order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Literal
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from invest_domain_async import AT, DAY, ENGINE, held, invest_platform, new_portfolio, order
from storekeeper import AsyncPlatform, InputError, NotFoundError, RefusedError
from storekeeper.domains.invest.entities import Portfolio, PortfolioAsset, Transaction
from storekeeper.domains.invest.errors import AlreadyRecordedError, HistoryError, NotHeldError
from storekeeper.domains.invest.operations.trades_async import Order, buy, dividend, positions_by_history, sell

Kind = Literal["buy", "sell", "dividend"]
TRADES = {"buy": buy, "sell": sell, "dividend": dividend}


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with invest_platform(migrated_url) as opened:
        yield opened


async def trade(platform: AsyncPlatform, portfolio: Portfolio, kind: Kind, wanted: Order) -> Transaction:
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        return await TRADES[kind](session, wanted, at=AT)


async def recorded(platform: AsyncPlatform) -> int | None:
    async with platform.postgres.session() as session:
        return await session.scalar(sa.select(sa.func.count()).select_from(Transaction))


async def test_a_position_follows_its_transactions(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    first = order(portfolio, "2.5", "100.123456", date=AT - 4 * DAY, fees=Decimal("1.5"), name="Engines Ltd")
    bought = await trade(platform, portfolio, "buy", first)
    assert (bought.total_amount, bought.fees, bought.transaction_type) == (Decimal("250.31"), Decimal("1.50"), "buy")
    await trade(platform, portfolio, "buy", order(portfolio, 1, "50.000001", date=AT - 3 * DAY))
    # (2.5 x 100.123456 + 50.000001) / 3.5 = 85.802469
    assert await held(platform, portfolio) == {ENGINE: (Decimal("3.500000"), Decimal("85.802469"))}
    paid = await trade(platform, portfolio, "dividend", order(portfolio, "3.5", "0.12", date=AT - 2 * DAY))
    assert paid.total_amount == Decimal("0.42")
    await trade(platform, portfolio, "sell", order(portfolio, "3.499999", 90, date=AT - DAY))
    assert await held(platform, portfolio) == {ENGINE: (Decimal("0.000001"), Decimal("85.802469"))}
    await trade(platform, portfolio, "sell", order(portfolio, "0.000001", 90, date=AT))
    assert await held(platform, portfolio) == {}
    # one who held it is still paid for then; and one who buys again pays another average
    await trade(platform, portfolio, "dividend", order(portfolio, 1, "0.1", date=AT))
    await trade(platform, portfolio, "buy", order(portfolio, 1, 7, date=AT - timedelta(seconds=1), symbol="OTHR"))
    assert await held(platform, portfolio) == {"OTHR": (Decimal(1), Decimal(7))}
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        assert {name: p.shares for name, p in (await positions_by_history(session, portfolio.id)).items()} == {
            "OTHR": Decimal(1)
        }


async def test_what_is_not_held_is_not_sold(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    for kind in ("sell", "dividend"):
        with pytest.raises(NotHeldError, match=ENGINE):
            await trade(platform, portfolio, kind, order(portfolio, 1))
    await trade(platform, portfolio, "buy", order(portfolio, 2))
    with pytest.raises(NotHeldError, match=r"2\.000000 are held"):
        await trade(platform, portfolio, "sell", order(portfolio, "2.000001"))
    assert await held(platform, portfolio) == {ENGINE: (Decimal(2), Decimal(10))}
    assert await recorded(platform) == 1


async def test_the_same_order_twice_is_one_transaction(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    wanted = order(portfolio, 2, notes="by mail")
    first = await trade(platform, portfolio, "buy", wanted)
    again = await trade(platform, portfolio, "buy", wanted)
    assert (again.id, again.created_at) == (first.id, first.created_at) == (wanted.id, first.created_at)
    assert await held(platform, portfolio) == {ENGINE: (Decimal(2), Decimal(10))}
    others: list[dict[str, Any]] = [
        *({"shares": Decimal(3)}, {"symbol": "OTHR"}, {"date": AT - 2 * DAY}),
        *({"fees": Decimal(1)}, {"notes": None}),
    ]
    for other in others:
        with pytest.raises(AlreadyRecordedError, match=str(wanted.id)):
            await trade(platform, portfolio, "buy", replace(wanted, **other))
    with pytest.raises(AlreadyRecordedError):
        await trade(platform, portfolio, "sell", wanted)
    assert await recorded(platform) == 1


async def test_a_late_transaction_is_put_in_its_place(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    await trade(platform, portfolio, "buy", order(portfolio, 1, 10, date=AT - 9 * DAY))
    await trade(platform, portfolio, "sell", order(portfolio, 1, 10, date=AT - 5 * DAY))
    await trade(platform, portfolio, "buy", order(portfolio, 1, 20, date=AT - 2 * DAY))
    with pytest.raises(NotHeldError):  # what is held now was not held then
        await trade(platform, portfolio, "sell", order(portfolio, 1, 10, date=AT - 4 * DAY))
    with pytest.raises(NotHeldError):  # it was held then, but had to be there later
        await trade(platform, portfolio, "sell", order(portfolio, 1, 10, date=AT - 6 * DAY))
    assert await held(platform, portfolio) == {ENGINE: (Decimal(1), Decimal(20))}
    await trade(platform, portfolio, "buy", order(portfolio, 3, 30, date=AT - 7 * DAY))
    # 1 at 10 and 3 at 30 are 4 at 25, of which 3 are left when 1 at 20 comes
    assert await held(platform, portfolio) == {ENGINE: (Decimal(4), Decimal("23.75"))}


async def test_a_purchase_and_a_sale_of_one_moment_go_in_that_order(platform: AsyncPlatform) -> None:
    for _ in range(4):  # ids are random
        portfolio = await new_portfolio(platform)
        await trade(platform, portfolio, "buy", order(portfolio, 1))
        await trade(platform, portfolio, "sell", order(portfolio, 1))
        await trade(platform, portfolio, "buy", order(portfolio, 1, 30))
        assert await held(platform, portfolio) == {ENGINE: (Decimal(1), Decimal(20))}


async def test_a_date_that_has_no_place_is_refused(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    with pytest.raises(HistoryError, match="no transactions of 1999 are kept here\nHINT: "):
        await trade(platform, portfolio, "buy", order(portfolio, 1, date=datetime(1999, 5, 1, tzinfo=AT.tzinfo)))
    with pytest.raises(RefusedError, match="has not come"):
        await trade(platform, portfolio, "buy", order(portfolio, 1, date=AT + timedelta(seconds=1)))
    await trade(platform, portfolio, "buy", order(portfolio, 1, date=AT - 6 * 365 * DAY))
    with pytest.raises(NotFoundError, match="no portfolio"):
        await trade(platform, portfolio, "buy", replace(order(portfolio, 1), portfolio_id=uuid4()))


async def test_no_late_transaction_where_the_first_are_archived(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    async with platform.postgres.session() as session:  # as it is once the year of its purchase was dropped
        session.add(
            PortfolioAsset(
                portfolio_id=portfolio.id, symbol=ENGINE, name="E", shares=Decimal(5), avg_purchase_price=Decimal(10)
            )
        )
    await trade(platform, portfolio, "sell", order(portfolio, 1, date=AT - DAY))
    with pytest.raises(HistoryError, match="older than others of ENGN"):
        await trade(platform, portfolio, "buy", order(portfolio, 1, date=AT - 2 * DAY))
    assert await held(platform, portfolio) == {ENGINE: (Decimal(4), Decimal(10))}


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": Decimal("0.0000001")},
        {"shares": Decimal(0)},
        {"shares": Decimal(-1)},
        {"shares": Decimal("1e9")},
        {"shares": Decimal("NaN")},
        {"shares": 0.5},
        {"price": Decimal(0)},
        {"price": Decimal("1.0000001")},
        {"fees": Decimal("-0.01")},
        {"fees": Decimal("0.001")},
        {"shares": Decimal(10**8), "price": Decimal(10**6)},
        {"symbol": ""},
        {"symbol": 33 * "x"},
        {"date": datetime(2026, 1, 1)},  # noqa: DTZ001  # without a zone, that is the point
    ],
)
def test_what_no_column_could_hold_is_no_order(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"shares": Decimal(1), "price": Decimal(1), "symbol": ENGINE, "date": AT, **wrong}
    with pytest.raises(InputError):
        Order(portfolio_id=uuid4(), **fields)  # type: ignore[arg-type]  # by name


async def test_the_threads_own_context_rounds_nothing(platform: AsyncPlatform) -> None:
    portfolio = await new_portfolio(platform)
    with localcontext(prec=3):
        await trade(platform, portfolio, "buy", order(portfolio, "123456.123456", "1234.123456"))
        await trade(platform, portfolio, "buy", order(portfolio, "1.000001", "1234.123458"))
    assert await held(platform, portfolio) == {ENGINE: (Decimal("123457.123457"), Decimal("1234.123456"))}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("buy", "buy", "sell", "sell", "dividend")),
        st.integers(1, 4_000_000),  # millionths of a share
        st.integers(1, 9_000_000_000),  # millionths of a price
        st.integers(0, 6),  # days ago
    ),
    max_size=12,
)


def half_up(value: Fraction) -> Fraction:
    """To six decimals."""
    return Fraction((value * 10**6 * 2 + 1) // 2, 10**6)


def by_the_book(steps: list[tuple[str, int, int, int]]) -> tuple[Fraction, Fraction] | None:
    """Shares and average after all of these; None where they cannot have been."""
    shares, average, ever = Fraction(0), Fraction(0), False
    for kind, many, price, _ in sorted(steps, key=lambda s: (-s[3], ("buy", "dividend", "sell").index(s[0]))):
        if kind == "buy":
            average = half_up((shares * average + Fraction(many * price, 10**12)) / (shares + Fraction(many, 10**6)))
            shares, ever = shares + Fraction(many, 10**6), True
        elif (kind == "sell" and Fraction(many, 10**6) > shares) or not ever:
            return None
        elif kind == "sell":
            shares -= Fraction(many, 10**6)
    return shares, average


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_any_order_of_any_trades(platform: AsyncPlatform, steps: list[tuple[Kind, int, int, int]]) -> None:
    portfolio = await new_portfolio(platform)
    accepted: list[tuple[str, int, int, int]] = []
    taken: set[tuple[str, int]] = set()
    for kind, many, price, days in steps:
        if (kind, days) in taken:  # of one kind and moment ids decide, which the book does not know
            continue
        wanted = order(
            portfolio, Decimal(many).scaleb(-6), Decimal(price).scaleb(-6), date=AT - days * DAY - timedelta(minutes=1)
        )
        if by_the_book([*accepted, (kind, many, price, days)]) is None:
            with pytest.raises(NotHeldError):
                await trade(platform, portfolio, kind, wanted)
        else:
            await trade(platform, portfolio, kind, wanted)
            accepted.append((kind, many, price, days))
            taken.add((kind, days))
        shares, average = by_the_book(accepted) or (0, 0)
        stored = await held(platform, portfolio)
        assert {symbol: (Fraction(n), Fraction(p)) for symbol, (n, p) in stored.items()} == (
            {ENGINE: (shares, average)} if shares else {}
        )
    async with platform.postgres.session(user_id=portfolio.user_id) as session:
        folded = await positions_by_history(session, portfolio.id)
    assert {symbol: (p.shares, p.average) for symbol, p in folded.items()} == await held(platform, portfolio)
