"""Intents: triggered by metrics that fulfil them, recorded once, cancelled by their owner alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from defi_domain_async import AT, HOUR, defi_platform, new_user
from storekeeper import AsyncPlatform, InputError, NotFoundError, page_async
from storekeeper.domains.defi.entities import Intent
from storekeeper.domains.defi.errors import SettledError
from storekeeper.domains.defi.operations import intents_async as intents
from storekeeper.domains.defi.queries import NEWEST_INTENTS, intents_of
from storekeeper.domains.defi.shapes import Condition, IntentAction

BELOW = Condition(metric="healthFactor", comparison="below", threshold=Decimal("1.2"))
REPAY = IntentAction(kind="repay", asset="USDT", amount=Decimal(1000))
LOW = {"healthFactor": Decimal("1.19"), "other": Decimal(0)}


@pytest.fixture
async def platform(shared_url: str) -> AsyncGenerator[AsyncPlatform]:
    async with defi_platform(shared_url) as platform:
        yield platform


async def intended(platform: AsyncPlatform, user_id: UUID, lasts: int | None = None) -> Intent:
    async with platform.postgres.session(user_id=user_id) as session:
        expires_at = None if lasts is None else AT + lasts * HOUR
        return await intents.intend(session, user_id, BELOW, REPAY, at=AT, expires_at=expires_at)


async def test_metrics_trigger_what_they_fulfil_and_no_more(platform: AsyncPlatform) -> None:
    ada, bob = await new_user(platform), await new_user(platform)
    lasting, short = await intended(platform, ada), await intended(platform, ada, 1)
    await intended(platform, bob)
    async with platform.postgres.session(user_id=ada) as session:
        for metrics in ({"healthFactor": Decimal("1.2")}, {"other": Decimal(0)}, {}, {"healthFactor": Decimal("NaN")}):
            assert await intents.evaluate(session, ada, metrics, at=AT) == ()
        (triggered,) = await intents.evaluate(session, ada, LOW, at=AT + HOUR)
        assert triggered.id == lasting.id, "the other has expired"
        assert (triggered.status, triggered.triggered_at) == ("triggered", AT + HOUR)
        assert triggered.meta == {"triggeredBy": "1.19"}
        assert await intents.evaluate(session, ada, LOW, at=AT + HOUR) == ()
        (earlier,) = await intents.evaluate(session, ada, LOW, at=AT)
        assert earlier.id == short.id
    async with platform.postgres.session(user_id=bob) as session:
        listed = await page_async(session, intents_of(bob, status="active"), by=NEWEST_INTENTS)
        assert [(one.condition, one.action) for one in listed.items] == [(BELOW, REPAY)]


async def test_what_came_of_an_action_is_recorded_once(platform: AsyncPlatform) -> None:
    user_id = await new_user(platform)
    done, failed = await intended(platform, user_id), await intended(platform, user_id)
    async with platform.postgres.session(user_id=user_id) as session:
        with pytest.raises(SettledError, match="is active, not triggered"):
            await intents.record_executed(session, done.id, at=AT)
        assert len(await intents.evaluate(session, user_id, LOW, at=AT)) == 2
        executed = await intents.record_executed(session, done.id, at=AT + HOUR, outcome={"tx": "0x1"})
        assert (executed.status, executed.executed_at) == ("executed", AT + HOUR)
        assert executed.meta == {"triggeredBy": "1.19", "outcome": {"tx": "0x1"}}
        with pytest.raises(SettledError, match="is executed"):
            await intents.record_executed(session, done.id, at=AT)
        with pytest.raises(SettledError, match="is executed"):
            await intents.record_failed(session, done.id, reason="x")
        assert (await intents.record_failed(session, failed.id, reason="no gas")).meta["failure"] == "no gas"
        with pytest.raises(NotFoundError):
            await intents.record_executed(session, uuid4(), at=AT)


async def test_its_owner_cancels_it_while_it_is_active(platform: AsyncPlatform) -> None:
    ada, bob = await new_user(platform), await new_user(platform)
    intent = await intended(platform, ada)
    async with platform.postgres.session(user_id=bob) as session:
        with pytest.raises(NotFoundError):
            await intents.cancel(session, bob, intent.id)
    async with platform.postgres.session(user_id=ada) as session:
        assert (await intents.cancel(session, ada, intent.id)).status == "cancelled"
        with pytest.raises(SettledError, match="is cancelled"):
            await intents.cancel(session, ada, intent.id)
        assert await intents.evaluate(session, ada, LOW, at=AT) == ()


async def test_intents_expire(platform: AsyncPlatform) -> None:
    user_id = await new_user(platform)
    short, long = await intended(platform, user_id, 1), await intended(platform, user_id, 2)
    async with platform.postgres.session() as session:
        while await intents.expire(session, at=AT + HOUR, limit=1):
            pass
        states = await session.execute(sa.select(Intent.id, Intent.status).where(Intent.user_id == user_id))
        assert {row.id: row.status for row in states} == {short.id: "expired", long.id: "active"}
        with pytest.raises(InputError):
            await intents.expire(session, at=AT, limit=0)
        with pytest.raises(InputError, match="expired already"):
            await intents.intend(session, user_id, BELOW, REPAY, at=AT, expires_at=AT)
