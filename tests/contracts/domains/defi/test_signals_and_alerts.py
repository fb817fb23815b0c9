# Generated from test_signals_and_alerts_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Signals and whom they are told to: what counts at a moment, alerts made once, states that only go forward."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain import AT, HOUR, defi_platform, new_user
from storekeeper import NotFoundError, Platform, RefusedError, hours, page
from storekeeper.domains.defi.entities import Alert, Signal
from storekeeper.domains.defi.operations import alerts as alerts, signals as signals
from storekeeper.domains.defi.queries import NEWEST_ALERTS, NEWEST_SIGNALS, active_signals, alerts_of
from storekeeper.domains.defi.shapes import Preferences, SignalData
from storekeeper.errors import CheckError


@pytest.fixture
def platform(shared_url: str) -> Generator[Platform]:
    with defi_platform(shared_url) as platform:
        yield platform


def a_name() -> str:
    return uuid4().hex


def detected(platform: Platform, asset: str, lasts: int | None = None, *, after: int = 0) -> Signal:
    with platform.postgres.session() as session:
        return signals.detect(
            session,
            "funding_rate",
            asset,
            "high",
            at=AT + after * HOUR,
            data=SignalData(value=0.01, percentile=99.5),
            lasts=None if lasts is None else hours(lasts),
        )


def active(platform: Platform, asset: str, after: float) -> list[int]:
    """When the signals were seen that count so many hours after AT, newest first."""
    with platform.postgres.session() as session:
        statement = active_signals(AT + after * HOUR, asset=asset)
        listed = page(session, statement, by=NEWEST_SIGNALS)
        return [round((signal.detected_at - AT) / HOUR) for signal in listed.items]


def test_which_signals_of_an_asset_count_at_a_moment(platform: Platform) -> None:
    asset = a_name()
    detected(platform, asset, 2)
    detected(platform, asset, None, after=1)
    acknowledged = detected(platform, asset, 9, after=3)
    detected(platform, a_name())
    assert active(platform, asset, -0.1) == []
    assert active(platform, asset, 1) == [1, 0]
    assert active(platform, asset, 2) == [1], "it counts until it expires, and no longer"
    assert active(platform, asset, 3) == [3, 1]
    with platform.postgres.session() as session:
        for _ in range(2):
            signal = signals.acknowledge(session, acknowledged.id, at=AT + 4 * HOUR)
            assert signal.status == "acknowledged"
    assert active(platform, asset, 4) == [1]


def test_expired_signals_are_marked_and_cannot_be_acknowledged(platform: Platform) -> None:
    asset = a_name()
    old, young = detected(platform, asset, 1), detected(platform, asset, 5)
    with platform.postgres.session() as session:
        with pytest.raises(RefusedError, match="expired"):
            signals.acknowledge(session, old.id, at=AT + HOUR)
        with pytest.raises(NotFoundError):
            signals.acknowledge(session, uuid4(), at=AT)
        while signals.expire(session, at=AT + HOUR, limit=1):
            pass
        states = session.execute(sa.select(Signal.id, Signal.status).where(Signal.asset == asset))
        assert {row.id: row.status for row in states} == {old.id: "expired", young.id: "active"}
        with pytest.raises(RefusedError, match="expired"):
            signals.acknowledge(session, old.id, at=AT)


def test_a_signal_becomes_alerts_of_those_who_asked_for_it(platform: Platform) -> None:
    both = new_user(
        platform, Preferences(active_signals=("x", "funding_rate"), notification_channels=("telegram", "email"))
    )
    unsaid = new_user(platform, Preferences(active_signals=("funding_rate",)))
    nobody = new_user(platform, Preferences(active_signals=("whale_movement",)))
    silent = new_user(platform)
    users = (both, unsaid, nobody, silent)
    signal = detected(platform, "ETH", 2)

    def told() -> list[tuple[int, str]]:
        with platform.postgres.session() as session:
            rows = session.execute(sa.select(Alert.user_id, Alert.channel).where(Alert.signal_id == signal.id))
            return sorted((users.index(row.user_id), row.channel) for row in rows if row.user_id in users)

    with platform.postgres.session() as session:
        assert alerts.fan_out(session, signal.id, at=AT) >= 3
    assert told() == [(0, "email"), (0, "telegram"), (1, "in_app")]
    with platform.postgres.session() as session:
        assert alerts.fan_out(session, signal.id, at=AT) == 0, "once is enough"
    with platform.postgres.session() as session:
        late = detected(platform, "ETH", 2)
        assert alerts.fan_out(session, late.id, at=AT + 2 * HOUR) == 0, "it counts no more"
        with pytest.raises(NotFoundError):
            alerts.fan_out(session, uuid4(), at=AT)
        made = (session.scalars(alerts_of(unsaid))).one()
    assert (made.type, made.message) == ("signal_detected", "funding_rate of ETH: high")
    assert made.meta["data"] == {"value": 0.01, "percentile": 99.5}
    assert made.signal is not None


def test_pending_alerts_come_newest_first_with_their_signal(platform: Platform) -> None:
    user_id = new_user(platform)
    signal = detected(platform, "BTC")
    made = []
    for number in range(5):
        with platform.postgres.session(user_id=user_id) as session:
            made.append(
                alerts.alert(
                    session,
                    user_id,
                    "signal_detected",
                    "in_app",
                    str(number),
                    signal_id=signal.id if number % 2 else None,
                )
            )
    with platform.postgres.session(user_id=user_id) as session:
        alerts.mark_sent(session, made[2].id, at=AT)
        first = page(session, alerts_of(user_id), by=NEWEST_ALERTS, limit=2)
        rest = page(session, alerts_of(user_id), by=NEWEST_ALERTS, limit=2, after=first.next)
    assert [one.message for one in (*first.items, *rest.items)] == ["4", "3", "1", "0"]
    assert [one.signal and one.signal.id for one in first.items] == [None, signal.id]
    assert rest.next is None


def test_an_alert_outlives_its_signal(platform: Platform) -> None:
    user_id = new_user(platform, Preferences(active_signals=("funding_rate",)))
    signal = detected(platform, "BTC", 1)
    with platform.postgres.session() as session:
        alerts.fan_out(session, signal.id, at=AT)
    with platform.postgres.session() as session:
        session.execute(sa.delete(Signal).where(Signal.id == signal.id))
    with platform.postgres.session(user_id=user_id) as session:
        left = (session.scalars(alerts_of(user_id))).one()
    assert (left.signal, left.signal_id, left.meta["asset"]) == (None, None, "BTC")


def test_an_alert_goes_its_way_and_never_back(platform: Platform) -> None:
    user_id = new_user(platform)

    def pending() -> Alert:
        with platform.postgres.session(user_id=user_id) as session:
            return alerts.alert(session, user_id, "health_factor_critical", "telegram", "1.05", meta={"a": 1})

    one, other = pending(), pending()
    with platform.postgres.session(user_id=user_id) as session:
        failed = alerts.mark_failed(session, one.id, "chat not found")
        assert (failed.status, failed.meta) == ("failed", {"a": 1, "failure": "chat not found"})
        for moment in (AT, AT + timedelta(hours=1)):
            assert (alerts.mark_sent(session, one.id, at=moment)).sent_at == AT
        with pytest.raises(RefusedError, match="sent"):
            alerts.mark_failed(session, one.id, "again")
        for moment in (AT, AT + timedelta(hours=1)):
            assert (alerts.mark_acknowledged(session, one.id, at=moment)).acknowledged_at == AT
        with pytest.raises(RefusedError, match="acknowledged"):
            alerts.mark_sent(session, one.id, at=AT)
        assert (alerts.mark_acknowledged(session, other.id, at=AT)).status == "acknowledged"
        with pytest.raises(NotFoundError):
            alerts.mark_sent(session, uuid4(), at=AT)


def test_a_channel_and_a_severity_are_those_of_the_contract(platform: Platform) -> None:
    user_id = new_user(platform)
    with pytest.raises(CheckError):
        with platform.postgres.session(user_id=user_id) as session:
            alerts.alert(session, user_id, "x", "pigeon", "coo")  # type: ignore[arg-type]  # that it is refused
    with pytest.raises(CheckError):
        with platform.postgres.session() as session:
            signals.detect(session, "x", "ETH", "dire", at=AT)
