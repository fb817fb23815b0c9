# Generated from test_intents_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Intents: triggered by metrics that fulfil them, recorded once, cancelled by their owner alone."""

from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from defi_domain import AT, HOUR, defi_platform, new_user
from storekeeper import InputError, NotFoundError, Platform, page
from storekeeper.domains.defi.entities import Intent
from storekeeper.domains.defi.errors import SettledError
from storekeeper.domains.defi.operations import intents as intents
from storekeeper.domains.defi.queries import NEWEST_INTENTS, intents_of
from storekeeper.domains.defi.shapes import Condition, IntentAction

BELOW = Condition(metric="healthFactor", comparison="below", threshold=Decimal("1.2"))
REPAY = IntentAction(kind="repay", asset="USDT", amount=Decimal(1000))
LOW = {"healthFactor": Decimal("1.19"), "other": Decimal(0)}


@pytest.fixture
def platform(shared_url: str) -> Generator[Platform]:
    with defi_platform(shared_url) as platform:
        yield platform


def intended(platform: Platform, user_id: UUID, lasts: int | None = None) -> Intent:
    with platform.postgres.session(user_id=user_id) as session:
        expires_at = None if lasts is None else AT + lasts * HOUR
        return intents.intend(session, user_id, BELOW, REPAY, at=AT, expires_at=expires_at)


def test_metrics_trigger_what_they_fulfil_and_no_more(platform: Platform) -> None:
    ada, bob = new_user(platform), new_user(platform)
    lasting, short = intended(platform, ada), intended(platform, ada, 1)
    intended(platform, bob)
    with platform.postgres.session(user_id=ada) as session:
        for metrics in ({"healthFactor": Decimal("1.2")}, {"other": Decimal(0)}, {}, {"healthFactor": Decimal("NaN")}):
            assert intents.evaluate(session, ada, metrics, at=AT) == ()
        (triggered,) = intents.evaluate(session, ada, LOW, at=AT + HOUR)
        assert triggered.id == lasting.id, "the other has expired"
        assert (triggered.status, triggered.triggered_at) == ("triggered", AT + HOUR)
        assert triggered.meta == {"triggeredBy": "1.19"}
        assert intents.evaluate(session, ada, LOW, at=AT + HOUR) == ()
        (earlier,) = intents.evaluate(session, ada, LOW, at=AT)
        assert earlier.id == short.id
    with platform.postgres.session(user_id=bob) as session:
        listed = page(session, intents_of(bob, status="active"), by=NEWEST_INTENTS)
        assert [(one.condition, one.action) for one in listed.items] == [(BELOW, REPAY)]


def test_what_came_of_an_action_is_recorded_once(platform: Platform) -> None:
    user_id = new_user(platform)
    done, failed = intended(platform, user_id), intended(platform, user_id)
    with platform.postgres.session(user_id=user_id) as session:
        with pytest.raises(SettledError, match="is active, not triggered"):
            intents.record_executed(session, done.id, at=AT)
        assert len(intents.evaluate(session, user_id, LOW, at=AT)) == 2
        executed = intents.record_executed(session, done.id, at=AT + HOUR, outcome={"tx": "0x1"})
        assert (executed.status, executed.executed_at) == ("executed", AT + HOUR)
        assert executed.meta == {"triggeredBy": "1.19", "outcome": {"tx": "0x1"}}
        with pytest.raises(SettledError, match="is executed"):
            intents.record_executed(session, done.id, at=AT)
        with pytest.raises(SettledError, match="is executed"):
            intents.record_failed(session, done.id, reason="x")
        assert (intents.record_failed(session, failed.id, reason="no gas")).meta["failure"] == "no gas"
        with pytest.raises(NotFoundError):
            intents.record_executed(session, uuid4(), at=AT)


def test_its_owner_cancels_it_while_it_is_active(platform: Platform) -> None:
    ada, bob = new_user(platform), new_user(platform)
    intent = intended(platform, ada)
    with platform.postgres.session(user_id=bob) as session:
        with pytest.raises(NotFoundError):
            intents.cancel(session, bob, intent.id)
    with platform.postgres.session(user_id=ada) as session:
        assert (intents.cancel(session, ada, intent.id)).status == "cancelled"
        with pytest.raises(SettledError, match="is cancelled"):
            intents.cancel(session, ada, intent.id)
        assert intents.evaluate(session, ada, LOW, at=AT) == ()


def test_intents_expire(platform: Platform) -> None:
    user_id = new_user(platform)
    short, long = intended(platform, user_id, 1), intended(platform, user_id, 2)
    with platform.postgres.session() as session:
        while intents.expire(session, at=AT + HOUR, limit=1):
            pass
        states = session.execute(sa.select(Intent.id, Intent.status).where(Intent.user_id == user_id))
        assert {row.id: row.status for row in states} == {short.id: "expired", long.id: "active"}
        with pytest.raises(InputError):
            intents.expire(session, at=AT, limit=0)
        with pytest.raises(InputError, match="expired already"):
            intents.intend(session, user_id, BELOW, REPAY, at=AT, expires_at=AT)
