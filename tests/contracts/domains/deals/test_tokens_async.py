"""The token ledger: what is posted is what plain arithmetic says, and balance, history and ledger always agree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from deals_domain import MOMENT, Ledger, person, stored, wish
from storekeeper import InputError, NotFoundError, RefusedError, connect_async, page_async
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import BalanceChange, Goal, TokenBalance, TokenTransaction, User
from storekeeper.domains.deals.errors import GoalBudgetError, InsufficientTokensError, ReferenceTakenError
from storekeeper.domains.deals.operations.tokens_async import balance_of, post
from storekeeper.domains.deals.postings import TAKING, Posting, PostingType
from storekeeper.stores.postgres.postgres_async import AsyncPostgres

REFUSALS: dict[str, type[RefusedError]] = {
    "insufficient": InsufficientTokensError,
    "budget": GoalBudgetError,
    "differs": ReferenceTakenError,
}
REFERENCES = [None, *(UUID(int=number) for number in range(3))]
TYPES: list[PostingType] = ["purchase", "ai_usage", "refund", "deduction", "admin_adjustment"]


@pytest.fixture
async def postgres(app_url: str) -> AsyncIterator[AsyncPostgres]:
    async with connect_async(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


@st.composite
def postings(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    amount = draw(st.decimals("0.00000001", 100, places=8))
    negative = kind in TAKING or (kind == "admin_adjustment" and draw(st.booleans()))
    return {
        "type": kind,
        "amount": -amount if negative else amount,
        "reference_id": draw(st.sampled_from(REFERENCES)),
        "goal": draw(st.sampled_from([None, 0, 1])),
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(postings(), max_size=12), budget=st.decimals(0, 200, places=8))
async def test_it_is_what_plain_arithmetic_says(
    postgres: AsyncPostgres, migrated_url: str, steps: list[dict[str, Any]], budget: Decimal
) -> None:
    user = person()
    goals = [wish(user.id, max_tokens=budget), wish(user.id)]
    stored(migrated_url, user)
    stored(migrated_url, *goals)
    ledger = Ledger(budgets={goal.id: goal.max_tokens for goal in goals})
    made: dict[UUID | None, UUID] = {}
    for step in steps:
        goal = step.pop("goal")
        posting = Posting(user_id=user.id, goal_id=None if goal is None else goals[goal].id, **step)
        expected = ledger.expect(posting)
        async with postgres.session(user_id=user.id) as session:
            if expected in REFUSALS:
                with pytest.raises(REFUSALS[expected]):
                    await post(session, posting, at=MOMENT)
            else:
                transaction = await post(session, posting, at=MOMENT)
                assert (transaction.amount, transaction.type) == (posting.amount, posting.type)
                if expected == "repeated":
                    assert transaction.id == made[posting.reference_id]
                else:
                    assert transaction.balance_after == ledger.balance
                    made[posting.reference_id] = transaction.id
            assert await balance_of(session, user.id) == ledger.balance, "a refusal leaves the session as it was"
    async with postgres.session(user_id=user.id) as session:
        history = (await page_async(session, queries.balance_changes(user.id), by=queries.LATEST_CHANGES)).items[::-1]
        rows = (await page_async(session, queries.token_history(user.id), by=queries.LATEST_TRANSACTIONS)).items[::-1]
        held = await session.scalar(sa.select(TokenBalance).where(TokenBalance.user_id == user.id))
        spent = {goal.id: goal.total_tokens_spent for goal in await session.scalars(sa.select(Goal))}
        assert (await session.execute(queries.unbalanced())).all() == []
    assert [row.amount for row in rows] == [posting.amount for posting in ledger.posted]
    assert [(one.transaction_id, one.change_amount) for one in history] == [(row.id, row.amount) for row in rows]
    assert all(one.balance_before + one.change_amount == one.balance_after >= 0 for one in history)
    assert all(one.balance_after == other.balance_before for one, other in pairwise(history))
    if held is not None:
        assert (held.balance, held.lifetime_earned, held.lifetime_spent) == (
            ledger.balance,
            ledger.earned,
            ledger.spent,
        )
    assert all(spent[goal.id] == ledger.goals.get(goal.id, 0) for goal in goals)


async def test_a_posting_says_all_that_it_was_given(postgres: AsyncPostgres, migrated_url: str) -> None:
    user = person()
    goal = wish(user.id)
    stored(migrated_url, user)
    stored(migrated_url, goal)
    posting = Posting(
        user_id=user.id,
        type="reward",
        amount=Decimal("0.00000001"),
        reference_id=uuid4(),
        description="for a find",
        goal_id=goal.id,
        tx_hash="0x" + "f" * 64,
        meta_data={"deal": {"rank": 1}},
    )
    async with postgres.session(user_id=user.id) as session:
        made = await post(session, posting, at=MOMENT)
    async with postgres.session(user_id=user.id) as session:
        read = await session.scalar(sa.select(TokenTransaction).where(TokenTransaction.id == made.id))
    assert read is not None
    assert (read.status, read.balance_after) == ("completed", Decimal("0.00000001"))
    for name in ("user_id", "type", "amount", "reference_id", "description", "goal_id", "tx_hash", "meta_data"):
        assert getattr(read, name) == getattr(posting, name)


async def test_a_purchase_is_the_last_payment(postgres: AsyncPostgres, migrated_url: str) -> None:
    user = person()
    stored(migrated_url, user)
    kinds: list[PostingType] = ["purchase", "purchase", "reward"]
    for kind, days in zip(kinds, (0, -1, 1), strict=True):
        async with postgres.session(user_id=user.id) as session:
            posting = Posting(user_id=user.id, type=kind, amount=Decimal(1))
            await post(session, posting, at=MOMENT + timedelta(days=days))
    async with postgres.session(user_id=user.id) as session:
        assert await session.scalar(sa.select(User.last_payment_at).where(User.id == user.id)) == MOMENT


async def test_several_postings_of_one_transaction_are_all_undone_with_it(
    postgres: AsyncPostgres, migrated_url: str
) -> None:
    user = person()
    stored(migrated_url, user)
    with pytest.raises(InsufficientTokensError):
        async with postgres.session(user_id=user.id) as session:
            await post(session, Posting(user_id=user.id, type="reward", amount=Decimal(5)), at=MOMENT)
            await post(session, Posting(user_id=user.id, type="ai_usage", amount=Decimal(-3)), at=MOMENT)
            assert await balance_of(session, user.id) == 2
            await post(session, Posting(user_id=user.id, type="ai_usage", amount=Decimal(-3)), at=MOMENT)
    async with postgres.session(user_id=user.id) as session:
        assert await balance_of(session, user.id) == 0
        assert await session.scalar(sa.select(sa.func.count()).select_from(BalanceChange)) == 0


async def test_a_goal_of_somebody_else_takes_no_posting(postgres: AsyncPostgres, migrated_url: str) -> None:
    user, other = person(), person()
    goal = wish(other.id)
    stored(migrated_url, user, other)
    stored(migrated_url, goal)
    async with postgres.session(user_id=user.id) as session:
        with pytest.raises(NotFoundError, match="no goal"):
            posting = Posting(user_id=user.id, type="reward", amount=Decimal(1), goal_id=goal.id)
            await post(session, posting, at=MOMENT)


async def test_another_users_reference_is_another_one(postgres: AsyncPostgres, migrated_url: str) -> None:
    users = person(), person()
    stored(migrated_url, *users)
    reference = uuid4()
    for number, user in enumerate(users, 1):
        async with postgres.session(user_id=user.id) as session:
            posting = Posting(user_id=user.id, type="reward", amount=Decimal(number), reference_id=reference)
            assert (await post(session, posting, at=MOMENT)).balance_after == number


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": Decimal(0)},
        {"amount": Decimal("0.000000001")},
        {"amount": Decimal("NaN")},
        {"amount": Decimal(10) ** 10},
        {"amount": Decimal(-1)},
        {"type": "ai_usage"},
        {"type": "gift"},
        {"tx_hash": "x" * 67},
    ],
)
def test_what_is_no_posting_is_refused_before_it_is_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Posting(**{"user_id": uuid4(), "type": "purchase", "amount": Decimal(1), **wrong})
