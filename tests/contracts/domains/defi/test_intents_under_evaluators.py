"""Many evaluators, dispatchers and fan-outs at once: each intent triggers once, each alert is made once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa

import defi_domain
import defi_domain_async
from storekeeper import hours
from storekeeper.domains.defi.entities import Alert, Intent
from storekeeper.domains.defi.errors import SettledError
from storekeeper.domains.defi.operations import alerts, intents, intents_async, signals
from storekeeper.domains.defi.shapes import Condition, IntentAction, Preferences

AT = defi_domain.AT
LOW = {"healthFactor": Decimal(1)}
BELOW = Condition(metric="healthFactor", comparison="below", threshold=Decimal(2))
REPAY = IntentAction(kind="repay", asset="USDT", amount=Decimal(1))


async def test_each_intent_triggers_in_one_evaluation(shared_url: str) -> None:
    async with defi_domain_async.defi_platform(shared_url) as platform:
        user_id = await defi_domain_async.new_user(platform)
        async with platform.postgres.session(user_id=user_id) as session:
            made = [await intents_async.intend(session, user_id, BELOW, REPAY, at=AT) for _ in range(12)]

        async def evaluate() -> list[UUID]:
            async with platform.postgres.session(user_id=user_id) as session:
                found = await intents_async.evaluate(session, user_id, LOW, at=AT)
                await asyncio.sleep(0)
                return [intent.id for intent in found]

        async def cancel(intent: Intent) -> list[UUID]:
            try:
                async with platform.postgres.session(user_id=user_id) as session:
                    return [(await intents_async.cancel(session, user_id, intent.id)).id]
            except SettledError:
                return []

        results = await asyncio.gather(*(evaluate() for _ in range(10)), *(cancel(intent) for intent in made[:4]))
        taken = [intent_id for result in results for intent_id in result]
        assert sorted(taken) == sorted(intent.id for intent in made), "each was taken once, by one of them"


def test_what_came_of_an_action_is_recorded_by_one(shared_url: str) -> None:
    with defi_domain.defi_platform(shared_url) as platform, ThreadPoolExecutor(8) as threads:
        user_id = defi_domain.new_user(platform)
        with platform.postgres.session(user_id=user_id) as session:
            made = intents.intend(session, user_id, BELOW, REPAY, at=AT)
            intents.evaluate(session, user_id, LOW, at=AT)

        def record(number: int) -> int | None:
            try:
                with platform.postgres.session(user_id=user_id) as session:
                    if number % 2:
                        intents.record_failed(session, made.id, reason=str(number))
                    else:
                        intents.record_executed(session, made.id, at=AT, outcome={"by": number})
            except SettledError:
                return None
            return number

        (winner,) = [number for number in threads.map(record, range(8)) if number is not None]
        with platform.postgres.session(user_id=user_id) as session:
            intent = session.scalars(sa.select(Intent).where(Intent.id == made.id)).one()
        assert intent.status == ("failed" if winner % 2 else "executed")


def test_a_signal_is_told_once_however_many_tell_it(shared_url: str) -> None:
    with defi_domain.defi_platform(shared_url) as platform, ThreadPoolExecutor(8) as threads:
        wanted = Preferences(active_signals=("told_once",), notification_channels=("email", "in_app"))
        users = {defi_domain.new_user(platform, wanted) for _ in range(5)}
        with platform.postgres.session() as session:
            signal = signals.detect(session, "told_once", "ETH", "low", at=AT, lasts=hours(1))

        def fan_out(_: int) -> int:
            with platform.postgres.session() as session:
                return alerts.fan_out(session, signal.id, at=AT)

        assert sum(threads.map(fan_out, range(8))) == 10
        with platform.postgres.session() as session:
            told = session.execute(sa.select(Alert.user_id, Alert.channel).where(Alert.signal_id == signal.id)).all()
    assert sorted(told) == sorted((user_id, channel) for user_id in users for channel in ("email", "in_app"))
