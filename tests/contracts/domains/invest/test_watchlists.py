# Generated from test_watchlists_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Watchlists, and the log of activities."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from invest_domain import invest_platform, new_user
from storekeeper import NotFoundError, Platform
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import Watchlist
from storekeeper.domains.invest.operations.activity import activities, log_activity
from storekeeper.domains.invest.operations.watchlists import (
    add_symbols,
    create_watchlist,
    delete_watchlist,
    publish_watchlist,
    remove_symbols,
)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with invest_platform(migrated_url) as opened:
        yield opened


def on(platform: Platform, watchlist: Watchlist) -> list[str]:
    with platform.postgres.session(user_id=watchlist.user_id) as session:
        found = (session.scalars(queries.watchlist(watchlist.id))).one()
        return sorted(item.symbol for item in found.items)


def test_symbols_come_and_go_once(platform: Platform) -> None:
    ada = new_user(platform)
    with platform.postgres.session(user_id=ada) as session:
        watchlist = create_watchlist(session, ada, "Engines", description="steam")
        assert add_symbols(session, watchlist.id, ["B", "A", "B"]) == 2
    with platform.postgres.session(user_id=ada) as session:
        assert add_symbols(session, watchlist.id, ["C", "A"]) == 1
        assert add_symbols(session, watchlist.id, []) == 0
        assert remove_symbols(session, watchlist.id, ["A", "Z"]) == 1
        assert remove_symbols(session, watchlist.id, ["A"]) == 0
    assert on(platform, watchlist) == ["B", "C"]


def test_what_is_public_is_listed(platform: Platform) -> None:
    ada = new_user(platform)
    with platform.postgres.session(user_id=ada) as session:
        own = create_watchlist(session, ada, "Own")
        shown = create_watchlist(session, ada, "Shown", public=True)
        add_symbols(session, shown.id, ["A"])
    with platform.postgres.session() as session:
        (found,) = (session.scalars(queries.public_watchlists())).all()
        assert (found.name, [item.symbol for item in found.items]) == ("Shown", ["A"])
    with platform.postgres.session(user_id=ada) as session:
        publish_watchlist(session, own.id, public=True)
        publish_watchlist(session, shown.id, public=False)
    with platform.postgres.session() as session:
        assert [one.name for one in session.scalars(queries.public_watchlists())] == ["Own"]
        delete_watchlist(session, own.id)
    with pytest.raises(NotFoundError, match="no watchlist"):
        with platform.postgres.session() as session:
            delete_watchlist(session, own.id)
    with pytest.raises(NotFoundError):
        with platform.postgres.session() as session:
            add_symbols(session, uuid4(), ["A"])


def test_activities_page_by_page(platform: Platform) -> None:
    ada, bob = new_user(platform, "ada"), new_user(platform, "bob")
    with platform.postgres.session(user_id=ada) as session:  # all at one instant: the id tells them apart
        for number in range(5):
            log_activity(session, ada, "view", resource_type="stock", resource_id=str(number))
        log_activity(session, ada, "search", details={"text": "engines"}, ip_address="::1", user_agent="x")
        log_activity(session, bob, "view")
    with platform.postgres.session(user_id=ada) as session:
        seen, after = [], None
        while True:
            page = activities(session, ada, activity_type="view", after=after, limit=2)
            seen += [one.resource_id for one in page.items]
            if (after := page.next) is None:
                break
        assert seen == ["4", "3", "2", "1", "0"]
        newest = (activities(session, ada, limit=1)).items[0]
        assert (newest.activity_type, newest.details, newest.ip_address) == ("search", {"text": "engines"}, "::1")
