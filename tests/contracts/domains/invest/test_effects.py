"""What the relay does in other stores for the invest domain: once done, doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from invest_domain import AT, DAY, ENGINE, new_portfolio, order
from storekeeper import Delivery, Platform, connect
from storekeeper.domains.invest import applying, effects
from storekeeper.domains.invest.entities import PriceAlert, UserActivity
from storekeeper.domains.invest.keys import LiveSession, PortfolioValue
from storekeeper.domains.invest.operations.alerts import evaluate
from storekeeper.domains.invest.operations.portfolios import delete_portfolio
from storekeeper.domains.invest.operations.trades import buy
from storekeeper.domains.invest.operations.valuation import value_portfolio
from storekeeper.domains.invest.ticks import Tick
from storekeeper.domains.invest.worth import Price
from storekeeper.relay.delivery import function_of, payload_of

SNAPSHOTS = "invest.portfolio_snapshots"


@pytest.fixture
def platform(migrated_url: str, redis_url: str) -> Iterator[Platform]:
    with connect(
        stores=("postgres", "timescale", "redis"),
        postgres_url=migrated_url,
        timescale_url=migrated_url,
        redis_url=redis_url,
    ) as opened:
        yield opened


def delivered(platform: Platform, *, times: int = 2) -> list[str]:
    """Applies all that is in the outbox, in its order, and all of it again."""
    with platform.postgres.session() as session:
        rows = session.execute(
            sa.text("SELECT id, effect, key, payload, recorded_at FROM storekeeper.outbox ORDER BY id")
        ).all()
    for attempt in range(times):
        for row in rows:
            effect = platform.catalog.effect(row.effect)
            delivery = Delivery(row.id, row.key, row.recorded_at, attempt + 1)
            function_of(effect.apply)(platform, payload_of(effect, row.payload), delivery)
    return [row.effect for row in rows]


def snapshots(platform: Platform, portfolio_id: UUID) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = platform.timescale.raw(
        SNAPSHOTS, where={"portfolio_id": [portfolio_id]}, exact=True
    ).to_pylist()
    return rows


def test_a_valuation_becomes_a_snapshot_and_drops_what_was_cached(platform: Platform) -> None:
    portfolio = new_portfolio(platform)
    value = PortfolioValue(total_value=Decimal(1), assets=[])
    platform.redis.put("portfolio", value, user_id=portfolio.user_id)
    with platform.postgres.session(user_id=portfolio.user_id) as session:
        buy(session, order(portfolio, 3), at=AT)
        value_portfolio(session, portfolio.id, {ENGINE: Price(Decimal(12), AT)}, at=AT, before=Decimal(30))
    assert delivered(platform) == [
        *("invest.portfolio_changed", "invest.portfolio_valued"),
        "invest.portfolio_changed",
    ]
    assert platform.redis.get("portfolio", user_id=portfolio.user_id) is None
    (row,) = snapshots(platform, portfolio.id)
    assert (row["time"], row["portfolio_id"], row["total_value"]) == (AT, str(portfolio.id), Decimal(36))
    assert (row["total_gain"], row["total_gain_percent"], row["day_change"]) == (Decimal(6), Decimal(20), Decimal(6))
    assert row["cash_balance"] == Decimal(0)
    assert row["asset_allocation"] == (
        '{"types": {"stock": {"value": "36.00", "percent": "100.0000"}}, '
        '"symbols": {"ENGN": {"value": "36.00", "percent": "100.0000"}}}'
    )


def test_snapshots_go_with_their_portfolio(platform: Platform) -> None:
    portfolio, other = new_portfolio(platform), new_portfolio(platform)
    for one in (portfolio, other):
        with platform.postgres.session(user_id=one.user_id) as session:
            value_portfolio(session, one.id, {}, at=AT)
    delivered(platform)
    assert len(snapshots(platform, portfolio.id)) == len(snapshots(platform, other.id)) == 1
    with platform.postgres.session(user_id=portfolio.user_id) as session:
        delete_portfolio(session, portfolio.id)
    delivered(platform, times=1)
    assert (len(snapshots(platform, portfolio.id)), len(snapshots(platform, other.id))) == (0, 1)


def test_an_ended_session_is_live_no_more(platform: Platform) -> None:
    session_id = uuid4()
    live = LiveSession(user_id=uuid4(), refresh_token=64 * "0", device_info={}, created_at=AT)
    platform.redis.put("session", live, session_id=session_id)
    for _ in range(2):
        delivery = Delivery(1, f"session:{session_id}", AT, 1)
        applying.forget_session(platform, effects.OfSession(session_id=session_id), delivery)
    assert platform.redis.get("session", session_id=session_id) is None


def test_who_set_an_alert_is_told_once(platform: Platform) -> None:
    user_id = new_portfolio(platform).user_id
    with platform.postgres.session(user_id=user_id) as session:
        session.add(
            PriceAlert(user_id=user_id, symbol=ENGINE, alert_type="price", target_price=Decimal(10), condition="above")
        )
        session.flush()
        evaluate(session, [Tick(ENGINE, AT - DAY, Decimal("10.5"))], at=AT)
    assert delivered(platform) == ["invest.alert_triggered"]
    with platform.postgres.session(user_id=user_id) as session:
        alert = session.scalars(sa.select(PriceAlert)).one()
        assert alert.notified_at is not None
        (told,) = session.scalars(sa.select(UserActivity)).all()
        assert (told.user_id, told.activity_type, told.resource_id) == (user_id, "price_alert", str(alert.id))
        assert told.details is not None
        assert (told.details["symbol"], told.details["price"]) == (ENGINE, "10.5")
