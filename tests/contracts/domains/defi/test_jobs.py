"""What the defi domain does by itself: dry, then for real, then nothing more."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from defi_domain import AT, HOUR, defi_platform, new_user
from storekeeper import Action, hours
from storekeeper.domains.defi import jobs
from storekeeper.domains.defi.entities import Alert
from storekeeper.domains.defi.operations import intents, signals
from storekeeper.domains.defi.shapes import Condition, IntentAction, Preferences


def test_what_has_expired_is_marked(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BATCH", 2)
    with defi_platform(shared_url) as platform:
        user_id = new_user(platform)
        with platform.postgres.session(user_id=user_id) as session:
            for _ in range(3):
                signals.detect(session, "x", "ETH", "low", at=AT, lasts=hours(1))
            condition = Condition(metric="m", comparison="below", threshold=Decimal(1))
            action = IntentAction(kind="repay", asset="X", amount=Decimal(1))
            intents.intend(session, user_id, condition, action, at=AT, expires_at=AT + HOUR)
        wanted = [
            Action("expire", "defi.signals", "rows past expires_at", rows=3),
            Action("expire", "defi.intents", "rows past expires_at", rows=1),
        ]
        assert list(jobs.expire(platform, as_of=AT, dry_run=False)) == []
        for dry_run in (True, False):
            assert list(jobs.expire(platform, as_of=AT + HOUR, dry_run=dry_run)) == wanted
        assert list(jobs.expire(platform, as_of=AT + HOUR, dry_run=False)) == []


def test_signals_are_told_to_whoever_asked_for_them(shared_url: str) -> None:
    with defi_platform(shared_url) as platform:
        for _ in range(2):
            new_user(platform, Preferences(active_signals=("whale_movement",)))
        with platform.postgres.session() as session:
            signal = signals.detect(session, "whale_movement", "BTC", "low", at=AT, lasts=hours(1))
        wanted = [Action("alert", f"signal {signal.id}", "whale_movement of BTC", rows=2)]
        for dry_run in (True, False):
            assert list(jobs.alert_of_signals(platform, as_of=AT, dry_run=dry_run)) == wanted
        assert list(jobs.alert_of_signals(platform, as_of=AT, dry_run=False)) == []
        with platform.postgres.session() as session:
            assert session.scalar(sa.select(sa.func.count()).where(Alert.signal_id == signal.id)) == 2
