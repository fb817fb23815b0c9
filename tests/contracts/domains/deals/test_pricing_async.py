"""A service costs what is in force at the moment, and is charged once under a reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from deals_domain import MOMENT, person, pricing, stored
from storekeeper import InputError, connect_async
from storekeeper.domains.deals.entities import TokenPricing
from storekeeper.domains.deals.errors import InsufficientTokensError, NoPriceError, ReferenceTakenError
from storekeeper.domains.deals.operations.pricing_async import Use, charge, price_of
from storekeeper.domains.deals.operations.tokens_async import balance_of, post
from storekeeper.domains.deals.postings import Posting
from storekeeper.stores.postgres.postgres_async import AsyncPostgres


@pytest.fixture
async def postgres(app_url: str) -> AsyncIterator[AsyncPostgres]:
    async with connect_async(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


@st.composite
def prices(draw: st.DrawFn) -> dict[str, Any]:
    begin = draw(st.integers(-5, 5))
    length = draw(st.none() | st.integers(0, 5))
    return {
        "token_cost": draw(st.decimals(0, 20, places=8)),
        "min_tokens": draw(st.integers(0, 5)),
        "max_tokens": draw(st.none() | st.integers(5, 50)),
        "valid_from": MOMENT + timedelta(days=begin),
        "valid_to": None if length is None else MOMENT + timedelta(days=begin + length),
        "is_active": draw(st.booleans()),
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(prices(), max_size=4, unique_by=lambda row: row["valid_from"]), quantity=st.decimals("0.01", 9))
async def test_the_price_in_force(
    postgres: AsyncPostgres, migrated_url: str, rows: list[dict[str, Any]], quantity: Decimal
) -> None:
    service = str(uuid4())
    stored(migrated_url, *(pricing(service, **row) for row in rows))
    in_force = [
        row
        for row in rows
        if row["is_active"] and row["valid_from"] <= MOMENT and (row["valid_to"] is None or row["valid_to"] > MOMENT)
    ]
    async with postgres.session() as session:
        if not in_force:
            with pytest.raises(NoPriceError):
                await price_of(session, service, quantity, at=MOMENT)
            return
        found = await price_of(session, service, quantity, at=MOMENT)
    row = max(in_force, key=lambda row: row["valid_from"])
    exact = row["token_cost"] * quantity
    least, most = row["min_tokens"], row["max_tokens"]
    if most is not None and exact >= most:
        assert found.tokens == most
    elif exact <= least:
        assert found.tokens == least
    else:
        assert 0 <= found.tokens - exact < Decimal("1e-8"), "rounded up, to the ledger's decimals"


async def test_a_use_is_charged_once_even_if_the_price_has_changed(postgres: AsyncPostgres, migrated_url: str) -> None:
    user = person()
    cheap = pricing("chat", token_cost=Decimal("1.5"), valid_to=MOMENT + timedelta(hours=1))
    dear = pricing("chat", token_cost=Decimal(9), valid_from=MOMENT + timedelta(hours=1))
    stored(migrated_url, user, cheap, dear)
    use = Use(user_id=user.id, service="chat", quantity=Decimal(2), reference_id=uuid4())
    async with postgres.session(user_id=user.id) as session:
        await post(session, Posting(user_id=user.id, type="purchase", amount=Decimal(10)), at=MOMENT)
        first = await charge(session, use, at=MOMENT)
        assert first is not None
        assert (first.amount, first.meta_data["pricing_id"]) == (Decimal(-3), str(cheap.id))
        again = await charge(session, use, at=MOMENT + timedelta(hours=1))
        assert again is first
        assert await balance_of(session, user.id) == 7
        other = Use(user_id=user.id, service="chat", quantity=Decimal(1), reference_id=use.reference_id)
        with pytest.raises(ReferenceTakenError):
            await charge(session, other, at=MOMENT)
        with pytest.raises(InsufficientTokensError):
            await charge(session, Use(user_id=user.id, service="chat"), at=MOMENT + timedelta(hours=1))


async def test_what_is_free_is_not_posted(postgres: AsyncPostgres, migrated_url: str) -> None:
    user = person()
    stored(migrated_url, user, pricing("hello", token_cost=Decimal(0), min_tokens=0))
    async with postgres.session(user_id=user.id) as session:
        assert await charge(session, Use(user_id=user.id, service="hello"), at=MOMENT) is None


async def test_a_price_ends_at_the_moment_when_the_next_one_begins(postgres: AsyncPostgres, migrated_url: str) -> None:
    rows = pricing("a", valid_to=MOMENT), pricing("a", valid_from=MOMENT)
    stored(migrated_url, *rows)
    async with postgres.session() as session:
        for at, row in ((MOMENT - timedelta(microseconds=1), rows[0]), (MOMENT, rows[1])):
            assert (await price_of(session, "a", at=at)).pricing_id == row.id
        assert await session.scalar(sa.select(sa.func.count()).select_from(TokenPricing)) == 2


@pytest.mark.parametrize("quantity", [Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 18])
def test_what_is_no_quantity_is_refused(quantity: Decimal) -> None:
    with pytest.raises(InputError):
        Use(user_id=uuid4(), service="a", quantity=quantity)
