"""Watchlists, and the log of activities."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from invest_domain_async import invest_platform, new_user
from storekeeper import AsyncPlatform, NotFoundError
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import Watchlist
from storekeeper.domains.invest.operations.activity_async import activities, log_activity
from storekeeper.domains.invest.operations.watchlists_async import (
    add_symbols,
    create_watchlist,
    delete_watchlist,
    publish_watchlist,
    remove_symbols,
)


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with invest_platform(migrated_url) as opened:
        yield opened


async def on(platform: AsyncPlatform, watchlist: Watchlist) -> list[str]:
    async with platform.postgres.session(user_id=watchlist.user_id) as session:
        found = (await session.scalars(queries.watchlist(watchlist.id))).one()
        return sorted(item.symbol for item in found.items)


async def test_symbols_come_and_go_once(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    async with platform.postgres.session(user_id=ada) as session:
        watchlist = await create_watchlist(session, ada, "Engines", description="steam")
        assert await add_symbols(session, watchlist.id, ["B", "A", "B"]) == 2
    async with platform.postgres.session(user_id=ada) as session:
        assert await add_symbols(session, watchlist.id, ["C", "A"]) == 1
        assert await add_symbols(session, watchlist.id, []) == 0
        assert await remove_symbols(session, watchlist.id, ["A", "Z"]) == 1
        assert await remove_symbols(session, watchlist.id, ["A"]) == 0
    assert await on(platform, watchlist) == ["B", "C"]


async def test_what_is_public_is_listed(platform: AsyncPlatform) -> None:
    ada = await new_user(platform)
    async with platform.postgres.session(user_id=ada) as session:
        own = await create_watchlist(session, ada, "Own")
        shown = await create_watchlist(session, ada, "Shown", public=True)
        await add_symbols(session, shown.id, ["A"])
    async with platform.postgres.session() as session:
        (found,) = (await session.scalars(queries.public_watchlists())).all()
        assert (found.name, [item.symbol for item in found.items]) == ("Shown", ["A"])
    async with platform.postgres.session(user_id=ada) as session:
        await publish_watchlist(session, own.id, public=True)
        await publish_watchlist(session, shown.id, public=False)
    async with platform.postgres.session() as session:
        assert [one.name for one in await session.scalars(queries.public_watchlists())] == ["Own"]
        await delete_watchlist(session, own.id)
    with pytest.raises(NotFoundError, match="no watchlist"):
        async with platform.postgres.session() as session:
            await delete_watchlist(session, own.id)
    with pytest.raises(NotFoundError):
        async with platform.postgres.session() as session:
            await add_symbols(session, uuid4(), ["A"])


async def test_activities_page_by_page(platform: AsyncPlatform) -> None:
    ada, bob = await new_user(platform, "ada"), await new_user(platform, "bob")
    async with platform.postgres.session(user_id=ada) as session:  # all at one instant: the id tells them apart
        for number in range(5):
            await log_activity(session, ada, "view", resource_type="stock", resource_id=str(number))
        await log_activity(session, ada, "search", details={"text": "engines"}, ip_address="::1", user_agent="x")
        await log_activity(session, bob, "view")
    async with platform.postgres.session(user_id=ada) as session:
        seen, after = [], None
        while True:
            page = await activities(session, ada, activity_type="view", after=after, limit=2)
            seen += [one.resource_id for one in page.items]
            if (after := page.next) is None:
                break
        assert seen == ["4", "3", "2", "1", "0"]
        newest = (await activities(session, ada, limit=1)).items[0]
        assert (newest.activity_type, newest.details, newest.ip_address) == ("search", {"text": "engines"}, "::1")
