"""Many clients at the same rows: nothing is lost, nothing happens twice, and no balance falls below zero."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from deals_domain import MOMENT, administrator, code, person, stored, wish
from storekeeper import connect, connect_async
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import NotificationSettings, RedemptionCode, TokenBalance, TokenTransaction
from storekeeper.domains.deals.errors import (
    CodeExhaustedError,
    CodeRedeemedError,
    GoalBudgetError,
    InsufficientTokensError,
    ReferenceTakenError,
)
from storekeeper.domains.deals.operations.notifications import settle
from storekeeper.domains.deals.operations.redeem import redeem
from storekeeper.domains.deals.operations.redeem_async import redeem as redeem_async
from storekeeper.domains.deals.operations.tokens import post
from storekeeper.domains.deals.operations.tokens_async import post as post_async
from storekeeper.domains.deals.postings import Posting
from storekeeper.stores.postgres.postgres import Postgres

CLIENTS = 16


@pytest.fixture
def postgres(app_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


def outcome(postgres: Postgres, posting: Posting) -> str:
    """What becomes of a posting in a transaction of its own."""
    try:
        postgres.perform(lambda session: post(session, posting, at=MOMENT), user_id=posting.user_id, repeatable=True)
    except (InsufficientTokensError, ReferenceTakenError, GoalBudgetError) as refusal:
        return type(refusal).__name__
    return "posted"


def in_order(url: str, user_id: UUID) -> list[TokenTransaction]:
    with administrator(url) as session:
        assert session.execute(queries.unbalanced()).all() == []
        return list(session.scalars(queries.token_history(user_id).order_by(TokenTransaction.created_at)))


def test_a_balance_that_many_spend_is_spent_to_the_last_token(postgres: Postgres, migrated_url: str) -> None:
    user = person()
    stored(migrated_url, user)
    assert outcome(postgres, Posting(user_id=user.id, type="purchase", amount=Decimal(40))) == "posted"
    spending = [Posting(user_id=user.id, type="ai_usage", amount=Decimal(-1)) for _ in range(100)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        told = Counter(clients.map(partial(outcome, postgres), spending))
    assert told == {"posted": 40, "InsufficientTokensError": 60}
    rows = in_order(migrated_url, user.id)
    assert [row.balance_after for row in rows] == [Decimal(40 - number) for number in range(41)]


def test_a_reference_is_posted_once_however_many_try(postgres: Postgres, migrated_url: str) -> None:
    user, reference = person(), uuid4()
    stored(migrated_url, user)
    tries = [
        Posting(user_id=user.id, type="reward", amount=Decimal(1 + number % 2), reference_id=reference)
        for number in range(40)
    ]
    with ThreadPoolExecutor(CLIENTS) as clients:
        told = Counter(clients.map(partial(outcome, postgres), tries))
    assert told == {"posted": 20, "ReferenceTakenError": 20}, "the first one's amount is told to all who ask for it"
    assert len(in_order(migrated_url, user.id)) == 1


def test_a_goal_costs_no_more_than_it_may(postgres: Postgres, migrated_url: str) -> None:
    user = person()
    goal = wish(user.id, max_tokens=Decimal(7))
    stored(migrated_url, user, goal)
    outcome(postgres, Posting(user_id=user.id, type="purchase", amount=Decimal(100)))
    spending = [Posting(user_id=user.id, type="ai_usage", amount=Decimal(-1), goal_id=goal.id) for _ in range(30)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        told = Counter(clients.map(partial(outcome, postgres), spending))
    assert told == {"posted": 7, "GoalBudgetError": 23}
    assert len(in_order(migrated_url, user.id)) == 8


def test_of_a_hundred_who_redeem_a_code_as_many_succeed_as_it_says(postgres: Postgres, migrated_url: str) -> None:
    users = [person() for _ in range(50)]
    one = code(max_redemptions=30, token_amount=5)
    stored(migrated_url, *users, one)

    def attempt(user_id: UUID) -> str:
        try:
            postgres.perform(lambda session: redeem(session, one.code, at=MOMENT), user_id=user_id)
        except (CodeExhaustedError, CodeRedeemedError) as refusal:
            return type(refusal).__name__
        return "redeemed"

    with ThreadPoolExecutor(20) as clients:
        told = Counter(clients.map(attempt, [user.id for user in (*users, *users)]))
    assert told["redeemed"] == 30
    assert told["CodeRedeemedError"] + told["CodeExhaustedError"] == 70
    with administrator(migrated_url) as session:
        assert session.scalar(sa.select(RedemptionCode.redemptions_count)) == 30
        balances = session.scalars(sa.select(TokenBalance.balance).where(TokenBalance.balance > 0)).all()
        assert balances == [Decimal(5)] * 30
        assert session.execute(queries.unbalanced()).all() == []


async def test_tasks_of_one_loop_are_no_exception(app_url: str, migrated_url: str) -> None:
    users = [person() for _ in range(10)]
    one = code(max_redemptions=6, token_amount=5)
    stored(migrated_url, *users, one)
    async with connect_async(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:

        async def attempt(user_id: UUID) -> bool:
            async def both(session: AsyncSession) -> None:
                await redeem_async(session, one.code, at=MOMENT)
                for _ in range(5):
                    await post_async(session, Posting(user_id=user_id, type="ai_usage", amount=Decimal(-1)), at=MOMENT)

            try:
                await platform.postgres.perform(both, user_id=user_id)
            except (CodeExhaustedError, CodeRedeemedError):
                return False
            return True

        told = Counter(await asyncio.gather(*(attempt(user.id) for user in (*users, *users))))
        assert told == {True: 6, False: 14}
    with administrator(migrated_url) as session:
        assert session.execute(queries.unbalanced()).all() == []
        spent = session.scalars(sa.select(TokenBalance.lifetime_spent).where(TokenBalance.lifetime_spent > 0))
        assert spent.all() == [Decimal(5)] * 6


def test_a_storm_of_postings_for_several_goals_ends_with_each_done(postgres: Postgres, migrated_url: str) -> None:
    """Two transactions that take the rows of goals and balances crosswise: one of them is run again."""
    user = person()
    goals = [wish(user.id) for _ in range(2)]
    stored(migrated_url, user, *goals)

    def crosswise(number: int) -> None:
        def both(session: Session) -> None:
            for goal in goals if number % 2 else goals[::-1]:
                post(session, Posting(user_id=user.id, type="reward", amount=Decimal(1), goal_id=goal.id), at=MOMENT)

        postgres.perform(both, user_id=user.id, retries=20)

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(crosswise, range(4)))
    assert len(in_order(migrated_url, user.id)) == 8


def test_first_settings_may_come_from_many_at_once(postgres: Postgres, migrated_url: str) -> None:
    user = person()
    stored(migrated_url, user)
    names = [f"{channel}_{about}" for channel in ("email", "push") for about in ("deal_alerts", "price_drops")]

    def wanted(name: str) -> None:
        with postgres.session(user_id=user.id) as session:
            settle(session, user.id, **{name: False})

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(wanted, names))
    with postgres.session(user_id=user.id) as session:
        settings = session.get_one(NotificationSettings, user.id)
        assert [getattr(settings, name) for name in names] == [False] * 4
