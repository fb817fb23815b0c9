# Generated from test_matching_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Matching deals to goals, telling users, and expiry: work over everybody's rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from deals_domain import MOMENT, offer, person, shop, wish
from storekeeper import NotFoundError, RefusedError, connect
from storekeeper.domains.deals.entities import (
    AuthToken,
    Deal,
    Goal,
    GoalDeal,
    Notification,
    NotificationSettings,
    User,
    UserPreferences,
)
from storekeeper.domains.deals.operations.expiry import expire_deals, expire_goals, expire_tokens
from storekeeper.domains.deals.operations.matching import match
from storekeeper.domains.deals.operations.notifications import Notice, advance, due, notify, read_all, settle
from storekeeper.domains.deals.shapes import Constraints, Preferences
from storekeeper.stores.postgres.postgres import Postgres

DAY = timedelta(days=1)


@pytest.fixture
def postgres(migrated_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=migrated_url, timescale_url=migrated_url) as platform:
        yield platform.postgres


def added(postgres: Postgres, *entities: Any) -> None:
    with postgres.session() as session:
        for entity in entities:
            session.add(entity)
            session.flush()


def scores(postgres: Postgres, deal: Deal) -> dict[Any, tuple[Decimal, str]]:
    with postgres.session() as session:
        rows = session.scalars(sa.select(GoalDeal).where(GoalDeal.deal_id == deal.id))
        return {row.goal_id: (row.relevance_score, row.status) for row in rows}


def test_a_deal_serves_the_goals_that_are_open_and_that_it_fits(postgres: Postgres) -> None:
    ada, market = person(), shop()
    deal = offer(market.id, discount_percent=Decimal("50.00"))
    fitting = wish(ada.id, max_budget=Decimal(20), notification_threshold=Decimal(30), start_date=MOMENT - DAY)
    others = [
        wish(ada.id, max_budget=Decimal(5), start_date=MOMENT - DAY),
        wish(ada.id, category="toys", start_date=MOMENT - DAY),
        wish(ada.id, status="paused", start_date=MOMENT - DAY),
        wish(ada.id, start_date=MOMENT + DAY),
        wish(ada.id, start_date=MOMENT - DAY, end_date=MOMENT),
        wish(ada.id, start_date=MOMENT - DAY, max_matches=0),
    ]
    added(postgres, ada, market, deal, fitting, *others)
    with postgres.session() as session:
        found = match(session, deal.id, at=MOMENT)
    assert [(one.goal_id, one.score, one.new, one.threshold) for one in found] == [
        (fitting.id, Decimal("50.00"), True, Decimal(30))
    ]
    assert scores(postgres, deal) == {fitting.id: (Decimal("50.00"), "active")}
    with postgres.session() as session:
        assert session.scalar(sa.select(User.total_deals_found)) == 1
        goal = (session.scalars(sa.select(Goal).where(Goal.id == fitting.id))).one()
        assert (goal.total_matches_found, goal.last_checked_at) == (1, MOMENT)


def test_done_again_it_changes_the_score_and_counts_nothing_twice(postgres: Postgres) -> None:
    ada, market = person(), shop()
    deal = offer(market.id)
    goal = wish(ada.id, target_price=Decimal(10), max_budget=Decimal(20), max_matches=1, start_date=MOMENT)
    added(postgres, ada, market, deal, goal)
    seen = []
    for price in ("10.00", "15.00", "20.01", "10.00"):
        with postgres.session() as session:
            session.execute(sa.update(Deal).values(current_price=Decimal(price)))
            found = match(session, deal.id, at=MOMENT)
        seen.append(([(one.score, one.new) for one in found], (scores(postgres, deal))[goal.id]))
    assert seen == [
        ([(Decimal("57.14"), True)], (Decimal("57.14"), "active")),
        ([(Decimal("28.57"), False)], (Decimal("28.57"), "active")),
        ([], (Decimal("28.57"), "outdated")),
        ([(Decimal("57.14"), False)], (Decimal("57.14"), "active")),
    ]
    with postgres.session() as session:
        assert session.scalar(sa.select(Goal.total_matches_found)) == 1
        assert session.scalar(sa.select(User.total_deals_found)) == 1


def test_a_goal_gets_no_more_matches_than_it_asks_for(postgres: Postgres) -> None:
    ada, market = person(), shop()
    deals = [offer(market.id) for _ in range(3)]
    added(postgres, ada, market, *deals, wish(ada.id, max_matches=2, start_date=MOMENT))
    with postgres.session() as session:
        found = [len(match(session, deal.id, at=MOMENT)) for deal in deals]
    assert found == [1, 1, 0]


@pytest.mark.parametrize("given", [{"status": "sold_out"}, {"expires_at": MOMENT}])
def test_a_deal_that_cannot_be_bought_serves_nothing(postgres: Postgres, given: dict[str, Any]) -> None:
    ada, market = person(), shop()
    deal = offer(market.id, **given)
    added(postgres, ada, market, deal, wish(ada.id, start_date=MOMENT))
    with postgres.session() as session:
        assert match(session, deal.id, at=MOMENT) == ()
        with pytest.raises(NotFoundError):
            match(session, ada.id, at=MOMENT)


def test_constraints_come_back_as_their_model_with_keys_that_nobody_knows(postgres: Postgres) -> None:
    ada = person()
    given = {"keywords": ["shoe"], "max_price": "9.90", "colour": "red"}
    added(postgres, ada, wish(ada.id, constraints=given))
    with postgres.session() as session:
        constraints = (session.scalars(sa.select(Goal))).one().constraints
        stored = session.scalar(sa.text("SELECT constraints::text FROM deals.goals"))
    assert isinstance(constraints, Constraints)
    assert (constraints.keywords, constraints.max_price) == (("shoe",), Decimal("9.90"))
    assert constraints.model_extra == {"colour": "red"}
    assert stored == '{"colour": "red", "keywords": ["shoe"], "max_price": "9.90"}'


def test_a_notification_goes_to_the_channels_that_are_wanted(postgres: Postgres) -> None:
    ada = person(notification_channels=["in_app", "email", "push"])
    added(
        postgres,
        ada,
        NotificationSettings(user_id=ada.id, email_deal_alerts=False),
        UserPreferences(user_id=ada.id, notification_push=False),
    )
    channels = []
    with postgres.session() as session:
        for type_ in ("deal", "goal", "security"):
            told = notify(session, Notice(ada.id, type_, "t", "m"), at=MOMENT)
            assert told is not None
            channels.append(told.channels)
    assert channels == [["in_app"], ["in_app", "email"], ["in_app", "email"]]


def test_nobody_is_told_on_no_channel(postgres: Postgres) -> None:
    ada = person(notification_channels=["push"])
    added(postgres, ada, NotificationSettings(user_id=ada.id, push_deal_alerts=False))
    with postgres.session() as session:
        assert notify(session, Notice(ada.id, "deal", "t", "m"), at=MOMENT) is None
        assert (session.scalars(sa.select(Notification))).all() == []


def test_quiet_hours_hold_back_all_but_what_is_critical(postgres: Postgres) -> None:
    ada = person(preferences=Preferences(timezone="Europe/Rome"))
    added(postgres, ada)
    with postgres.session() as session:  # 12:00 UTC is 13:00 in Rome
        settle(session, ada.id, quiet_hours_start=time(13), quiet_hours_end=time(15))
        held = notify(session, Notice(ada.id, "deal", "t", "m"), at=MOMENT)
        urgent = notify(session, Notice(ada.id, "security", "t", "m", priority="critical"), at=MOMENT)
        assert held is not None
        assert urgent is not None
        shown = [{one.id for one in due(session, at=MOMENT + timedelta(minutes=after))} for after in (0, 119, 120)]
    assert shown == [{urgent.id}, {urgent.id}, {urgent.id, held.id}]


def test_a_notification_goes_forward_and_never_back(postgres: Postgres) -> None:
    ada = person()
    added(postgres, ada)
    with postgres.session() as session:
        told = notify(session, Notice(ada.id, "deal", "t", "m"), at=MOMENT)
        assert told is not None
        for minute, status in enumerate(("failed", "sent", "sent", "delivered", "read")):
            advance(session, told.id, status, at=MOMENT + timedelta(minutes=minute))
        assert (told.sent_at, told.read_at) == (MOMENT + timedelta(minutes=1), MOMENT + timedelta(minutes=4))
        for status in ("sent", "failed", "pending"):
            with pytest.raises(RefusedError, match="is read, and cannot become"):
                advance(session, told.id, status, at=MOMENT)
        with pytest.raises(NotFoundError):
            advance(session, ada.id, "sent", at=MOMENT)
        notify(session, Notice(ada.id, "deal", "t", "m"), at=MOMENT)
        assert [read_all(session, ada.id, at=MOMENT) for _ in range(2)] == [1, 0]


def test_settings_are_known_ones_and_quiet_hours_have_two_ends(postgres: Postgres) -> None:
    ada = person()
    added(postgres, ada)
    with postgres.session() as session:
        with pytest.raises(RefusedError, match="no such setting: fax_deal_alerts"):
            settle(session, ada.id, fax_deal_alerts=True)
    with postgres.session() as session:
        with pytest.raises(RefusedError, match="a start and an end"):
            settle(session, ada.id, quiet_hours_start=time(22))


def test_what_has_ended_expires_once(postgres: Postgres) -> None:
    ada, market = person(), shop()
    added(
        postgres,
        ada,
        market,
        *(offer(market.id, expires_at=MOMENT + DAY * days) for days in (-1, 0, 1)),
        offer(market.id, expires_at=MOMENT, status="sold_out"),
        *(wish(ada.id, end_date=MOMENT + DAY * days) for days in (-1, 1)),
        wish(ada.id, end_date=MOMENT, status="completed"),
        AuthToken(user_id=ada.id, token="d", token_type="access", expires_at=MOMENT),
    )
    counts = []
    for _ in range(2):
        with postgres.session() as session:
            counts.append(
                (
                    expire_deals(session, at=MOMENT),
                    expire_goals(session, at=MOMENT),
                    expire_tokens(session, at=MOMENT),
                )
            )
    assert counts == [(2, 1, 1), (0, 0, 0)]
