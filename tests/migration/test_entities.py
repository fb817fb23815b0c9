"""Every entity is written and read by the ORM as its table holds it, and found from both ends of each foreign key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import selectinload

from storekeeper import Platform
from storekeeper.domains.invest.entities import (
    AiInsight,
    Portfolio,
    PortfolioAsset,
    PriceAlert,
    Session,
    Transaction,
    User,
    UserActivity,
    Watchlist,
    WatchlistItem,
)
from storekeeper.errors import CheckError, ForeignKeyError

Opened = Callable[..., Platform]


def person(name: str = "ada") -> User:
    return User(email=f"{name}@example.org", password_hash="x", first_name=name, last_name="L")


def everything(user: User) -> list[object]:
    """One of each that belongs to a user, but transactions."""
    portfolio = Portfolio(user=user)
    watchlist = Watchlist(user=user, name="Tech")
    return [
        Session(user=user, refresh_token="digest", expires_at=datetime(2100, 1, 1, tzinfo=UTC)),
        portfolio,
        PortfolioAsset(portfolio=portfolio, symbol="AAPL", name="Apple", shares=2, avg_purchase_price=Decimal("1.5")),
        watchlist,
        WatchlistItem(watchlist=watchlist, symbol="BTC-USD@bitstamp"),
        PriceAlert(user=user, symbol="AAPL", alert_type="price", target_price=Decimal("0.000001"), condition="above"),
        AiInsight(user=user, insight_type="market", title="t", description="d", confidence=Decimal("99.99")),
        UserActivity(user=user, activity_type="login", details={"from": "here"}),
    ]


#: All that belongs to a user, and from there the way back: nothing is loaded that is not named.
EVERYTHING = (
    selectinload(User.portfolios).selectinload(Portfolio.transactions).joinedload(Transaction.portfolio),
    selectinload(User.portfolios).joinedload(Portfolio.user),
    selectinload(User.watchlists).selectinload(Watchlist.items).joinedload(WatchlistItem.watchlist),
    selectinload(User.watchlists).joinedload(Watchlist.user),
    selectinload(User.price_alerts),
    selectinload(User.activities).joinedload(UserActivity.user),
)


def test_what_the_server_fills_in(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    with platform.postgres.session() as session:
        user = person()
        session.add_all([user, *everything(user)])
        session.flush()
        (portfolio,) = user.portfolios
        bought = Transaction(
            portfolio=portfolio,
            symbol="AAPL",
            transaction_type="buy",
            shares=Decimal("2.5"),
            price=Decimal("100.123456"),
            transaction_date=datetime.now(UTC),
        )
        session.add(bought)
        session.flush()
        assert (bought.total_amount, bought.fees) == (Decimal("250.31"), Decimal("0.00"))
        assert (user.watchlists[0].is_public, user.price_alerts[0].is_active) == (False, True)
        assert (user.insights[0].meta, user.insights[0].is_actionable) == ({}, False)
        assert user.activities[0].id == 1
    with platform.postgres.session() as session:
        again = session.scalars(sa.select(User).options(*EVERYTHING)).one()
        assert again.portfolios[0].transactions[0].portfolio.user is again
        assert again.watchlists[0].items[0].watchlist.user is again
        assert [alert.target_price for alert in again.price_alerts] == [Decimal("0.000001")]
        assert [(one.user, one.details) for one in again.activities] == [(again, {"from": "here"})]


def test_what_goes_with_a_user_and_what_stays_without(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    with platform.postgres.session() as session:
        user = person()
        session.add_all([user, *everything(user)])
    with platform.postgres.session() as session:
        session.delete(session.scalars(sa.select(User)).one())
    with platform.postgres.session() as session:
        left = {
            kind.__name__: session.scalar(sa.select(sa.func.count()).select_from(kind))
            for kind in (
                *(Session, Portfolio, PortfolioAsset, Watchlist, WatchlistItem, PriceAlert, AiInsight, UserActivity),
            )
        }
        assert {name for name, count in left.items() if count} == {"AiInsight", "UserActivity"}
        assert session.scalars(sa.select(AiInsight.user_id)).all() == [None]
        assert session.scalars(sa.select(UserActivity.user_id)).all() == [None]


@pytest.mark.parametrize("change", [{"transaction_type": "gift"}, {"shares": 0}, {"price": 0}, {"fees": -1}])
def test_a_transaction_that_breaks_a_check_is_refused(
    opened: Opened, migrated_url: str, change: dict[str, object]
) -> None:
    user = person()
    fields: dict[str, object] = {"symbol": "AAPL", "transaction_type": "buy", "shares": 1, "price": 1, "fees": 0}
    bought = Transaction(portfolio=Portfolio(user=user), transaction_date=datetime.now(UTC), **{**fields, **change})
    with pytest.raises(CheckError) as refused, opened(migrated_url).postgres.session() as session:
        session.add_all([user, bought])
    assert refused.value.constraint.startswith("check_")


def test_a_portfolio_with_transactions_stays(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    with platform.postgres.session() as session:
        user = person()
        bought = Transaction(
            portfolio=Portfolio(user=user),
            symbol="AAPL",
            transaction_type="dividend",
            shares=Decimal(1),
            price=Decimal(1),
            transaction_date=datetime.now(UTC),
        )
        session.add_all([user, bought])
    with pytest.raises(ForeignKeyError), platform.postgres.session() as session:
        session.delete(session.scalars(sa.select(Portfolio)).one())
