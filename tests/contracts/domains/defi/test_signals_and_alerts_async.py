"""Signals and whom they are told to: what counts at a moment, alerts made once, states that only go forward."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain_async import AT, HOUR, defi_platform, new_user
from storekeeper import AsyncPlatform, NotFoundError, RefusedError, hours, page_async
from storekeeper.domains.defi.entities import Alert, Signal
from storekeeper.domains.defi.operations import alerts_async as alerts, signals_async as signals
from storekeeper.domains.defi.queries import NEWEST_ALERTS, NEWEST_SIGNALS, active_signals, alerts_of
from storekeeper.domains.defi.shapes import Preferences, SignalData
from storekeeper.errors import CheckError


@pytest.fixture
async def platform(shared_url: str) -> AsyncGenerator[AsyncPlatform]:
    async with defi_platform(shared_url) as platform:
        yield platform


def a_name() -> str:
    return uuid4().hex


async def detected(platform: AsyncPlatform, asset: str, lasts: int | None = None, *, after: int = 0) -> Signal:
    async with platform.postgres.session() as session:
        return await signals.detect(
            session,
            "funding_rate",
            asset,
            "high",
            at=AT + after * HOUR,
            data=SignalData(value=0.01, percentile=99.5),
            lasts=None if lasts is None else hours(lasts),
        )


async def active(platform: AsyncPlatform, asset: str, after: float) -> list[int]:
    """When the signals were seen that count so many hours after AT, newest first."""
    async with platform.postgres.session() as session:
        statement = active_signals(AT + after * HOUR, asset=asset)
        listed = await page_async(session, statement, by=NEWEST_SIGNALS)
        return [round((signal.detected_at - AT) / HOUR) for signal in listed.items]


async def test_which_signals_of_an_asset_count_at_a_moment(platform: AsyncPlatform) -> None:
    asset = a_name()
    await detected(platform, asset, 2)
    await detected(platform, asset, None, after=1)
    acknowledged = await detected(platform, asset, 9, after=3)
    await detected(platform, a_name())
    assert await active(platform, asset, -0.1) == []
    assert await active(platform, asset, 1) == [1, 0]
    assert await active(platform, asset, 2) == [1], "it counts until it expires, and no longer"
    assert await active(platform, asset, 3) == [3, 1]
    async with platform.postgres.session() as session:
        for _ in range(2):
            signal = await signals.acknowledge(session, acknowledged.id, at=AT + 4 * HOUR)
            assert signal.status == "acknowledged"
    assert await active(platform, asset, 4) == [1]


async def test_expired_signals_are_marked_and_cannot_be_acknowledged(platform: AsyncPlatform) -> None:
    asset = a_name()
    old, young = await detected(platform, asset, 1), await detected(platform, asset, 5)
    async with platform.postgres.session() as session:
        with pytest.raises(RefusedError, match="expired"):
            await signals.acknowledge(session, old.id, at=AT + HOUR)
        with pytest.raises(NotFoundError):
            await signals.acknowledge(session, uuid4(), at=AT)
        while await signals.expire(session, at=AT + HOUR, limit=1):
            pass
        states = await session.execute(sa.select(Signal.id, Signal.status).where(Signal.asset == asset))
        assert {row.id: row.status for row in states} == {old.id: "expired", young.id: "active"}
        with pytest.raises(RefusedError, match="expired"):
            await signals.acknowledge(session, old.id, at=AT)


async def test_a_signal_becomes_alerts_of_those_who_asked_for_it(platform: AsyncPlatform) -> None:
    both = await new_user(
        platform, Preferences(active_signals=("x", "funding_rate"), notification_channels=("telegram", "email"))
    )
    unsaid = await new_user(platform, Preferences(active_signals=("funding_rate",)))
    nobody = await new_user(platform, Preferences(active_signals=("whale_movement",)))
    silent = await new_user(platform)
    users = (both, unsaid, nobody, silent)
    signal = await detected(platform, "ETH", 2)

    async def told() -> list[tuple[int, str]]:
        async with platform.postgres.session() as session:
            rows = await session.execute(sa.select(Alert.user_id, Alert.channel).where(Alert.signal_id == signal.id))
            return sorted((users.index(row.user_id), row.channel) for row in rows if row.user_id in users)

    async with platform.postgres.session() as session:
        assert await alerts.fan_out(session, signal.id, at=AT) >= 3
    assert await told() == [(0, "email"), (0, "telegram"), (1, "in_app")]
    async with platform.postgres.session() as session:
        assert await alerts.fan_out(session, signal.id, at=AT) == 0, "once is enough"
    async with platform.postgres.session() as session:
        late = await detected(platform, "ETH", 2)
        assert await alerts.fan_out(session, late.id, at=AT + 2 * HOUR) == 0, "it counts no more"
        with pytest.raises(NotFoundError):
            await alerts.fan_out(session, uuid4(), at=AT)
        made = (await session.scalars(alerts_of(unsaid))).one()
    assert (made.type, made.message) == ("signal_detected", "funding_rate of ETH: high")
    assert made.meta["data"] == {"value": 0.01, "percentile": 99.5}
    assert made.signal is not None


async def test_pending_alerts_come_newest_first_with_their_signal(platform: AsyncPlatform) -> None:
    user_id = await new_user(platform)
    signal = await detected(platform, "BTC")
    made = []
    for number in range(5):
        async with platform.postgres.session(user_id=user_id) as session:
            made.append(
                await alerts.alert(
                    session,
                    user_id,
                    "signal_detected",
                    "in_app",
                    str(number),
                    signal_id=signal.id if number % 2 else None,
                )
            )
    async with platform.postgres.session(user_id=user_id) as session:
        await alerts.mark_sent(session, made[2].id, at=AT)
        first = await page_async(session, alerts_of(user_id), by=NEWEST_ALERTS, limit=2)
        rest = await page_async(session, alerts_of(user_id), by=NEWEST_ALERTS, limit=2, after=first.next)
    assert [one.message for one in (*first.items, *rest.items)] == ["4", "3", "1", "0"]
    assert [one.signal and one.signal.id for one in first.items] == [None, signal.id]
    assert rest.next is None


async def test_an_alert_outlives_its_signal(platform: AsyncPlatform) -> None:
    user_id = await new_user(platform, Preferences(active_signals=("funding_rate",)))
    signal = await detected(platform, "BTC", 1)
    async with platform.postgres.session() as session:
        await alerts.fan_out(session, signal.id, at=AT)
    async with platform.postgres.session() as session:
        await session.execute(sa.delete(Signal).where(Signal.id == signal.id))
    async with platform.postgres.session(user_id=user_id) as session:
        left = (await session.scalars(alerts_of(user_id))).one()
    assert (left.signal, left.signal_id, left.meta["asset"]) == (None, None, "BTC")


async def test_an_alert_goes_its_way_and_never_back(platform: AsyncPlatform) -> None:
    user_id = await new_user(platform)

    async def pending() -> Alert:
        async with platform.postgres.session(user_id=user_id) as session:
            return await alerts.alert(session, user_id, "health_factor_critical", "telegram", "1.05", meta={"a": 1})

    one, other = await pending(), await pending()
    async with platform.postgres.session(user_id=user_id) as session:
        failed = await alerts.mark_failed(session, one.id, "chat not found")
        assert (failed.status, failed.meta) == ("failed", {"a": 1, "failure": "chat not found"})
        for moment in (AT, AT + timedelta(hours=1)):
            assert (await alerts.mark_sent(session, one.id, at=moment)).sent_at == AT
        with pytest.raises(RefusedError, match="sent"):
            await alerts.mark_failed(session, one.id, "again")
        for moment in (AT, AT + timedelta(hours=1)):
            assert (await alerts.mark_acknowledged(session, one.id, at=moment)).acknowledged_at == AT
        with pytest.raises(RefusedError, match="acknowledged"):
            await alerts.mark_sent(session, one.id, at=AT)
        assert (await alerts.mark_acknowledged(session, other.id, at=AT)).status == "acknowledged"
        with pytest.raises(NotFoundError):
            await alerts.mark_sent(session, uuid4(), at=AT)


async def test_a_channel_and_a_severity_are_those_of_the_contract(platform: AsyncPlatform) -> None:
    user_id = await new_user(platform)
    with pytest.raises(CheckError):
        async with platform.postgres.session(user_id=user_id) as session:
            await alerts.alert(session, user_id, "x", "pigeon", "coo")  # type: ignore[arg-type]  # that it is refused
    with pytest.raises(CheckError):
        async with platform.postgres.session() as session:
            await signals.detect(session, "x", "ETH", "dire", at=AT)
