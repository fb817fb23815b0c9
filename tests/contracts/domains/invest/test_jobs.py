"""The jobs of the invest domain, as the role of jobs: alerts of all users, by the prices of the time-series store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from storekeeper import Platform, connect
from storekeeper.clock import FixedClock
from storekeeper.domains.invest.entities import PriceAlert, User
from storekeeper.jobs.runs import run_job

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def platform(role_settings: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=("postgres", "timescale"), role="jobs", clock=FixedClock(NOW), **role_settings) as platform:
        yield platform


def alert(platform: Platform, **given: Any) -> UUID:
    plain = {"symbol": "ACME", "alert_type": "price", "condition": "above", "target_price": Decimal(10)}
    with platform.postgres.session() as session:
        user = User(email=f"{uuid4().hex}@example.org", password_hash="x", first_name="Ada", last_name="L")
        session.add(user)
        session.flush()
        made = PriceAlert(user_id=user.id, **{**plain, **given})
        session.add(made)
        session.flush()
        return made.id


def quoted(platform: Platform, minutes_ago: int, price: str, symbol: str = "ACME") -> None:
    time = NOW - timedelta(minutes=minutes_ago)
    platform.timescale.append(
        "invest.intraday_prices", [{"time": time, "symbol": symbol, "price": price, "volume": "5"}]
    )


def triggered(platform: Platform) -> set[UUID]:
    with platform.postgres.session() as session:
        return set(session.scalars(sa.select(PriceAlert.id).where(PriceAlert.triggered_at == NOW)))


def test_alerts_of_all_users_are_triggered_once(platform: Platform) -> None:
    closed = {"open": 8, "high": 8, "low": 8, "close": 8, "volume": 1}
    later = dict.fromkeys(("open", "high", "low", "close"), 80)  # nobody knows it as of then
    days = [(-1, closed), (1, {**closed, **later})]
    rows = [{"time": NOW + timedelta(days=day), "symbol": "ACME", **prices} for day, prices in days]
    platform.timescale.append("invest.stock_prices", rows)
    met = {
        alert(platform),
        alert(platform, alert_type="percent_change", target_price=Decimal(20)),
        alert(platform, alert_type="volume", condition="equals", target_price=Decimal(5)),
    }
    alert(platform, target_price=Decimal(12))
    alert(platform, symbol="OTHER")
    quoted(platform, 20, "13")
    quoted(platform, 2, "11")
    foreseen = run_job(platform, "invest.price-alerts", as_of=NOW, dry_run=True).report
    assert triggered(platform) == set()
    done = run_job(platform, "invest.price-alerts", as_of=NOW).report
    assert [(one.target, one.rows) for one in done.actions] == [("alerts of ACME", 3)]
    assert foreseen == done
    assert triggered(platform) == met
    assert run_job(platform, "invest.price-alerts", as_of=NOW).report.actions == ()
