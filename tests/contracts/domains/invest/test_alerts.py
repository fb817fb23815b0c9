# Generated from test_alerts_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Price alerts: each is triggered once, by the first tick that meets it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from invest_domain import AT, effects_recorded, invest_platform, new_user
from storekeeper import InputError, NotFoundError, Platform
from storekeeper.domains.invest.entities import PriceAlert
from storekeeper.domains.invest.operations.alerts import Wanted, cancel_alert, evaluate, set_alert
from storekeeper.domains.invest.ticks import Tick

MINUTE = timedelta(minutes=1)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with invest_platform(migrated_url) as opened:
        yield opened


def wanted(user_id: UUID, alert_type: str, condition: str, target: str, **other: Any) -> Wanted:
    fields: dict[str, Any] = {"symbol": "A", "alert_type": alert_type, "condition": condition, **other}
    return Wanted(user_id=user_id, target=Decimal(target), **fields)


def tick(
    price: str, *, minute: int = 0, symbol: str = "A", volume: str | None = None, reference: str | None = None
) -> Tick:
    return Tick(
        symbol,
        AT + minute * MINUTE,
        Decimal(price),
        None if volume is None else Decimal(volume),
        None if reference is None else Decimal(reference),
    )


def placed(platform: Platform, alert: Wanted) -> UUID:
    with platform.postgres.session(user_id=alert.user_id) as session:
        return (set_alert(session, alert)).id


def triggered(platform: Platform, *ticks: Tick) -> set[UUID]:
    with platform.postgres.session() as session:
        return {alert.alert_id for alert in evaluate(session, ticks, at=AT)}


@pytest.mark.parametrize(
    ("alert_type", "condition", "target", "met", "missed"),
    [
        ("price", "above", "100", tick("100.000001"), tick("100")),
        ("price", "below", "100", tick("99.999999"), tick("100")),
        ("price", "equals", "100", tick("100.000000"), tick("100.000001")),
        ("percent_change", "above", "5", tick("105.000001", reference="100"), tick("105", reference="100")),
        ("percent_change", "below", "-5", tick("94.999999", reference="100"), tick("95", reference="100")),
        ("percent_change", "equals", "-50", tick("1", reference="2"), tick("1")),
        ("volume", "above", "1000", tick("1", volume="1000.00000001"), tick("2000")),
        ("volume", "below", "1000", tick("1", volume="0"), tick("1", volume="1000")),
        ("volume", "equals", "0.5", tick("1", volume="0.5"), tick("0.5", volume="0.50000001")),
    ],
)
def test_each_condition(
    platform: Platform, alert_type: str, condition: str, target: str, met: Tick, missed: Tick
) -> None:
    ada = new_user(platform)
    alert = placed(platform, wanted(ada, alert_type, condition, target))
    assert triggered(platform, missed, tick("100", symbol="B", volume="1e9", reference="0.1")) == set()
    assert triggered(platform, missed, met) == {alert}
    assert triggered(platform, met) == set()


def test_what_a_triggered_alert_says(platform: Platform) -> None:
    ada = new_user(platform)
    alert = placed(platform, wanted(ada, "price", "above", "10"))
    ticks = [tick("9", minute=1), tick("12", minute=3), tick("11", minute=2)]
    with platform.postgres.session() as session:
        (told,) = evaluate(session, ticks, at=AT)
        assert evaluate(session, [], at=AT) == ()
    assert (told.alert_id, told.user_id, told.symbol, told.price, told.time) == (
        *(alert, ada, "A", Decimal(11)),
        AT + 2 * MINUTE,
    )
    assert effects_recorded(platform) == [("invest.alert_triggered", f"alert:{alert}")]
    with platform.postgres.session(user_id=ada) as session:
        stored = (session.scalars(sa.select(PriceAlert))).one()
        assert (stored.is_active, stored.triggered_at, stored.notified_at) == (False, AT, None)


def test_alerts_that_are_still(platform: Platform) -> None:
    ada = new_user(platform)
    expired = wanted(ada, "price", "above", "10", expires_at=AT)
    cancelled = placed(platform, wanted(ada, "price", "above", "10"))
    placed(platform, expired)
    alive = placed(platform, wanted(ada, "price", "above", "10", expires_at=AT + MINUTE))
    with platform.postgres.session(user_id=ada) as session:
        cancel_alert(session, cancelled)
    assert triggered(platform, tick("11")) == {alive}
    with pytest.raises(NotFoundError, match="no alert"):
        with platform.postgres.session(user_id=ada) as session:
            cancel_alert(session, uuid4())


def test_what_is_no_alert_and_no_tick() -> None:
    for alert_type, target in (("price", "-1"), ("volume", "-1"), ("price", "0.0000001"), ("price", "1e12")):
        with pytest.raises(InputError):
            wanted(uuid4(), alert_type, "above", target)
    for price, reference in (("0", None), ("NaN", None), ("1", "0"), ("1", "Infinity")):
        with pytest.raises(InputError):
            tick(price, reference=reference)
    with pytest.raises(InputError, match="no time zone"):
        Tick("A", AT.replace(tzinfo=None), Decimal(1))


NUMBERS = st.sampled_from(["0.5", "1", "1.000001", "2", "3"])
ALERTS = st.lists(
    st.tuples(
        st.sampled_from(["price", "percent_change", "volume"]),
        st.sampled_from(["above", "below", "equals"]),
        st.sampled_from(["0", "1", "1.000001", "2", "50", "100", "200"]),
        st.sampled_from(["A", "B"]),
    ),
    max_size=8,
)
BATCHES = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "C"]), NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS), max_size=3
    ),
    max_size=4,
)


def meets(alert: tuple[str, str, str, str], one: Tick) -> bool:
    """What the condition says, in plain words."""
    alert_type, condition, target, symbol = alert
    reference = one.reference
    measured = {
        "price": one.price,
        "volume": one.volume,
        "percent_change": None if reference is None else (one.price - reference) / reference * 100,
    }[alert_type]
    if symbol != one.symbol or measured is None:
        return False
    wanted = Decimal(target)
    return {"above": measured > wanted, "below": measured < wanted, "equals": measured == wanted}[condition]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(alerts=ALERTS, batches=BATCHES)
def test_any_alerts_by_any_ticks(
    platform: Platform,
    alerts: list[tuple[str, str, str, str]],
    batches: list[list[tuple[str, str, str | None, str | None]]],
) -> None:
    with platform.postgres.session() as session:
        session.execute(sa.delete(PriceAlert))
    ada = new_user(platform)
    pending = {placed(platform, wanted(ada, *alert[:3], symbol=alert[3])): alert for alert in alerts}
    for batch in batches:
        ticks = [tick(price, symbol=symbol, volume=volume, reference=ref) for symbol, price, volume, ref in batch]
        met = {id_ for id_, alert in pending.items() if any(meets(alert, one) for one in ticks)}
        assert triggered(platform, *ticks) == met
        pending = {id_: alert for id_, alert in pending.items() if id_ not in met}
