"""What callers and users get wrong: it is refused by its name, and nobody else has to bear it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import time, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa

from deals_domain import MOMENT, administrator, offer, person, pricing, shop, stored, wish
from storekeeper import InputError, NotFoundError, RefusedError, connect_async, page_async
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import Deal, GoalDeal, NotificationSettings, TokenPricing, User
from storekeeper.domains.deals.errors import NoPriceError
from storekeeper.domains.deals.operations.auth_async import change_password, issue
from storekeeper.domains.deals.operations.matching_async import match
from storekeeper.domains.deals.operations.notifications_async import Notice, notify, settle
from storekeeper.domains.deals.operations.pricing_async import Use, charge, price_of
from storekeeper.domains.deals.operations.tokens_async import post
from storekeeper.domains.deals.postings import Posting
from storekeeper.domains.deals.shapes import Preferences
from storekeeper.stores.postgres.postgres_async import AsyncPostgres

HOUR = timedelta(hours=1)


@pytest.fixture
async def postgres(migrated_url: str) -> AsyncIterator[AsyncPostgres]:
    async with connect_async(stores=("postgres",), postgres_url=migrated_url, timescale_url=migrated_url) as platform:
        yield platform.postgres


@pytest.fixture
def ada(migrated_url: str) -> User:
    user = person()
    stored(migrated_url, user)
    return user


async def test_no_token_of_a_type_that_is_none_or_that_is_over_as_it_begins(postgres: AsyncPostgres, ada: User) -> None:
    async with postgres.session() as session:
        with pytest.raises(InputError, match="access, refresh, reset"):
            await issue(session, ada.id, "session", at=MOMENT)
        for lifetime in (timedelta(0), -HOUR):
            with pytest.raises(InputError, match="over as it begins"):
                await issue(session, ada.id, "access", at=MOMENT, lifetime=lifetime)


async def test_nobody_has_no_password_to_change(postgres: AsyncPostgres) -> None:
    with pytest.raises(NotFoundError):
        async with postgres.session() as session:
            await change_password(session, uuid4(), "correct horse")
    async with postgres.session() as session:
        assert await session.scalar(sa.text("SELECT count(*) FROM storekeeper.audit_log")) == 0


async def test_what_a_posting_carries_is_json() -> None:
    with pytest.raises(InputError, match="no JSON"):
        Posting(user_id=uuid4(), type="reward", amount=Decimal(1), meta_data={"price": Decimal(1)})


async def test_a_cost_beyond_all_balances_is_a_number_still(
    postgres: AsyncPostgres, ada: User, migrated_url: str
) -> None:
    stored(migrated_url, pricing("chat", token_cost=Decimal(9999999999)))
    most = Decimal(10) ** 18 - 1
    async with postgres.session() as session:
        assert (await price_of(session, "chat", most, at=MOMENT)).tokens == most * 9999999999
        with pytest.raises(InputError):
            await charge(session, Use(user_id=ada.id, service="chat", quantity=most), at=MOMENT)


async def test_what_was_charged_is_found_again_when_its_price_is_gone(
    postgres: AsyncPostgres, ada: User, migrated_url: str
) -> None:
    stored(migrated_url, pricing("chat", valid_to=MOMENT + HOUR))
    use = Use(user_id=ada.id, service="chat", reference_id=uuid4())
    async with postgres.session() as session:
        await post(session, Posting(user_id=ada.id, type="reward", amount=Decimal(9)), at=MOMENT)
        first = await charge(session, use, at=MOMENT)
    assert first is not None
    async with postgres.session() as session:
        again = await charge(session, use, at=MOMENT + HOUR)
        assert again is not None
        assert again.id == first.id
        with pytest.raises(NoPriceError):
            await charge(session, Use(user_id=ada.id, service="chat", reference_id=uuid4()), at=MOMENT + HOUR)
    stored(migrated_url, pricing("chat", token_cost=Decimal(0), min_tokens=0, valid_from=MOMENT + HOUR))
    async with postgres.session() as session:
        again = await charge(session, use, at=MOMENT + HOUR)
        assert again is not None
        assert again.id == first.id
        assert await session.scalar(sa.select(sa.func.count(TokenPricing.id))) == 2


async def test_a_zone_that_nobody_knows_keeps_nobody_else_from_being_told(postgres: AsyncPostgres, ada: User) -> None:
    async with postgres.session() as session:
        lost = sa.update(User).where(User.id == ada.id).values(preferences=Preferences(timezone="Mars/Olympus"))
        await session.execute(lost)
        await settle(session, ada.id, quiet_hours_start=time(11), quiet_hours_end=time(13))
        written = await notify(session, Notice(ada.id, "deal", "t", "m"), at=MOMENT)
        assert written is not None
        assert written.meta_data == {"held_until": (MOMENT + HOUR).isoformat()}


async def test_settings_that_are_refused_leave_nothing_behind(postgres: AsyncPostgres, ada: User) -> None:
    async with postgres.session() as session:
        with pytest.raises(RefusedError):
            await settle(session, ada.id, quiet_hours_start=time(22))
    async with postgres.session() as session:
        settings = await session.get_one(NotificationSettings, ada.id)
        assert (settings.quiet_hours_start, settings.quiet_hours_end) == (None, None)


@pytest.mark.parametrize("change", [{"status": "removed"}, {"expires_at": MOMENT}, {"category": "toys"}])
async def test_a_deal_that_is_no_more_what_it_was_serves_nobody(
    postgres: AsyncPostgres, ada: User, migrated_url: str, change: dict[str, object]
) -> None:
    market = shop()
    deal, goal = offer(market.id), wish(ada.id, start_date=MOMENT - HOUR)
    stored(migrated_url, market, deal, goal)
    async with postgres.session() as session:
        assert len(await match(session, deal.id, at=MOMENT)) == 1
    with administrator(migrated_url) as session:
        session.execute(sa.update(Deal).where(Deal.id == deal.id).values(**change))
    async with postgres.session() as session:
        shown = await page_async(session, queries.matches_of(goal.id), by=queries.BEST_MATCHES)
        assert len(shown.items) == (0 if "status" in change else 1)
        assert await match(session, deal.id, at=MOMENT) == ()
    async with postgres.session() as session:
        assert list(await session.scalars(sa.select(GoalDeal.status))) == ["outdated"]
