# Generated from test_slips_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What callers and users get wrong: it is refused by its name, and nobody else has to bear it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa

from deals_domain import MOMENT, administrator, offer, person, pricing, shop, stored, wish
from storekeeper import InputError, NotFoundError, RefusedError, connect, page
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import Deal, GoalDeal, NotificationSettings, TokenPricing, User
from storekeeper.domains.deals.errors import NoPriceError
from storekeeper.domains.deals.operations.auth import change_password, issue
from storekeeper.domains.deals.operations.matching import match
from storekeeper.domains.deals.operations.notifications import Notice, notify, settle
from storekeeper.domains.deals.operations.pricing import Use, charge, price_of
from storekeeper.domains.deals.operations.tokens import post
from storekeeper.domains.deals.postings import Posting
from storekeeper.domains.deals.shapes import Preferences
from storekeeper.stores.postgres.postgres import Postgres

HOUR = timedelta(hours=1)


@pytest.fixture
def postgres(migrated_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=migrated_url, timescale_url=migrated_url) as platform:
        yield platform.postgres


@pytest.fixture
def ada(migrated_url: str) -> User:
    user = person()
    stored(migrated_url, user)
    return user


def test_no_token_of_a_type_that_is_none_or_that_is_over_as_it_begins(postgres: Postgres, ada: User) -> None:
    with postgres.session() as session:
        with pytest.raises(InputError, match="access, refresh, reset"):
            issue(session, ada.id, "session", at=MOMENT)
        for lifetime in (timedelta(0), -HOUR):
            with pytest.raises(InputError, match="over as it begins"):
                issue(session, ada.id, "access", at=MOMENT, lifetime=lifetime)


def test_nobody_has_no_password_to_change(postgres: Postgres) -> None:
    with pytest.raises(NotFoundError):
        with postgres.session() as session:
            change_password(session, uuid4(), "correct horse")
    with postgres.session() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM storekeeper.audit_log")) == 0


def test_what_a_posting_carries_is_json() -> None:
    with pytest.raises(InputError, match="no JSON"):
        Posting(user_id=uuid4(), type="reward", amount=Decimal(1), meta_data={"price": Decimal(1)})


def test_a_cost_beyond_all_balances_is_a_number_still(postgres: Postgres, ada: User, migrated_url: str) -> None:
    stored(migrated_url, pricing("chat", token_cost=Decimal(9999999999)))
    most = Decimal(10) ** 18 - 1
    with postgres.session() as session:
        assert (price_of(session, "chat", most, at=MOMENT)).tokens == most * 9999999999
        with pytest.raises(InputError):
            charge(session, Use(user_id=ada.id, service="chat", quantity=most), at=MOMENT)


def test_what_was_charged_is_found_again_when_its_price_is_gone(
    postgres: Postgres, ada: User, migrated_url: str
) -> None:
    stored(migrated_url, pricing("chat", valid_to=MOMENT + HOUR))
    use = Use(user_id=ada.id, service="chat", reference_id=uuid4())
    with postgres.session() as session:
        post(session, Posting(user_id=ada.id, type="reward", amount=Decimal(9)), at=MOMENT)
        first = charge(session, use, at=MOMENT)
    assert first is not None
    with postgres.session() as session:
        again = charge(session, use, at=MOMENT + HOUR)
        assert again is not None
        assert again.id == first.id
        with pytest.raises(NoPriceError):
            charge(session, Use(user_id=ada.id, service="chat", reference_id=uuid4()), at=MOMENT + HOUR)
    stored(migrated_url, pricing("chat", token_cost=Decimal(0), min_tokens=0, valid_from=MOMENT + HOUR))
    with postgres.session() as session:
        again = charge(session, use, at=MOMENT + HOUR)
        assert again is not None
        assert again.id == first.id
        assert session.scalar(sa.select(sa.func.count(TokenPricing.id))) == 2


def test_a_zone_that_nobody_knows_keeps_nobody_else_from_being_told(postgres: Postgres, ada: User) -> None:
    with postgres.session() as session:
        lost = sa.update(User).where(User.id == ada.id).values(preferences=Preferences(timezone="Mars/Olympus"))
        session.execute(lost)
        settle(session, ada.id, quiet_hours_start=time(11), quiet_hours_end=time(13))
        written = notify(session, Notice(ada.id, "deal", "t", "m"), at=MOMENT)
        assert written is not None
        assert written.meta_data == {"held_until": (MOMENT + HOUR).isoformat()}


def test_settings_that_are_refused_leave_nothing_behind(postgres: Postgres, ada: User) -> None:
    with postgres.session() as session:
        with pytest.raises(RefusedError):
            settle(session, ada.id, quiet_hours_start=time(22))
    with postgres.session() as session:
        settings = session.get_one(NotificationSettings, ada.id)
        assert (settings.quiet_hours_start, settings.quiet_hours_end) == (None, None)


@pytest.mark.parametrize("change", [{"status": "removed"}, {"expires_at": MOMENT}, {"category": "toys"}])
def test_a_deal_that_is_no_more_what_it_was_serves_nobody(
    postgres: Postgres, ada: User, migrated_url: str, change: dict[str, object]
) -> None:
    market = shop()
    deal, goal = offer(market.id), wish(ada.id, start_date=MOMENT - HOUR)
    stored(migrated_url, market, deal, goal)
    with postgres.session() as session:
        assert len(match(session, deal.id, at=MOMENT)) == 1
    with administrator(migrated_url) as session:
        session.execute(sa.update(Deal).where(Deal.id == deal.id).values(**change))
    with postgres.session() as session:
        shown = page(session, queries.matches_of(goal.id), by=queries.BEST_MATCHES)
        assert len(shown.items) == (0 if "status" in change else 1)
        assert match(session, deal.id, at=MOMENT) == ()
    with postgres.session() as session:
        assert list(session.scalars(sa.select(GoalDeal.status))) == ["outdated"]
