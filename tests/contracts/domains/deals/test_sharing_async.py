"""Saving and passing on deals, and signing in: as the role that services use, under row-level security."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from deals_domain import MOMENT, offer, person, shop
from storekeeper import InputError, NotFoundError, RefusedError, connect_async, digest
from storekeeper.domains.deals.entities import AuthToken, SavedDeal, SharedDeal, SocialInteraction, User
from storekeeper.domains.deals.operations.auth_async import (
    bearer,
    change_password,
    change_role,
    change_status,
    issue,
    log_in,
    refresh,
    register,
    reset_password,
    revoke,
)
from storekeeper.domains.deals.operations.sharing_async import open_link, save, share, unsave, withdraw
from storekeeper.errors import CheckError, PermissionDeniedError, UniqueError
from storekeeper.stores.postgres.postgres_async import AsyncPostgres

HOUR = timedelta(hours=1)


@pytest.fixture
async def owner(migrated_url: str) -> AsyncIterator[AsyncPostgres]:
    async with connect_async(stores=("postgres",), postgres_url=migrated_url, timescale_url=migrated_url) as platform:
        yield platform.postgres


@pytest.fixture
async def service(app_url: str) -> AsyncIterator[AsyncPostgres]:
    async with connect_async(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


async def added(postgres: AsyncPostgres, *entities: Any) -> None:
    async with postgres.session() as session:
        for entity in entities:
            session.add(entity)
            await session.flush()


async def test_a_deal_is_saved_once(owner: AsyncPostgres, service: AsyncPostgres) -> None:
    ada, market = person(), shop()
    deal = offer(market.id)
    await added(owner, ada, market, deal)
    async with service.session(user_id=ada.id) as session:
        assert [await save(session, ada.id, deal.id, notes=note) for note in (None, "mine", None)] == [
            True,
            False,
            False,
        ]
        assert (await session.scalars(sa.select(SavedDeal.notes))).all() == ["mine"]
        assert (await session.scalars(sa.select(SocialInteraction.interaction_type))).all() == ["save"]
        assert [await unsave(session, ada.id, deal.id) for _ in range(2)] == [True, False]


async def test_a_link_opens_for_everybody_and_counts(owner: AsyncPostgres, service: AsyncPostgres) -> None:
    ada, bob, market = person(), person(), shop()
    deal = offer(market.id)
    await added(owner, ada, bob, market, deal)
    async with service.session(user_id=ada.id) as session:
        shared = await share(session, ada.id, deal.id, "link", message="look", expires_at=MOMENT + HOUR)
        link = shared.public_link_id
        assert link is not None
        assert len(link) >= 43
    for number in (1, 2):
        async with service.session() as session:
            opened = await open_link(session, link, at=MOMENT)
        assert (opened.deal_id, opened.message, opened.click_count) == (deal.id, "look", number)
    async with service.session(user_id=bob.id) as session:
        assert (await session.scalars(sa.select(SharedDeal))).all() == []
        with pytest.raises(NotFoundError):
            await withdraw(session, shared.id)
        for wrong, at in (("x", MOMENT), (link, MOMENT + HOUR)):
            with pytest.raises(NotFoundError, match="opens nothing"):
                await open_link(session, wrong, at=at)
    async with service.session(user_id=ada.id) as session:
        await withdraw(session, shared.id)
        with pytest.raises(NotFoundError, match="opens nothing"):
            await open_link(session, link, at=MOMENT)


async def test_an_email_has_recipients(owner: AsyncPostgres) -> None:
    ada, market = person(), shop()
    deal = offer(market.id)
    await added(owner, ada, market, deal)
    async with owner.session() as session:
        with pytest.raises(InputError, match="no recipients"):
            await share(session, ada.id, deal.id, "email")
        shared = await share(session, ada.id, deal.id, "email", recipients=["bob@example.org"])
        assert shared.public_link_id is None


async def test_nobody_needs_to_be_signed_in_to_sign_in(service: AsyncPostgres) -> None:
    async with service.session() as session:
        ada = await register(session, "Ada@example.org", "correct horse")
        assert ada.hashed_password.startswith("$2")
    for address, password, right in (
        ("ada@EXAMPLE.org", "correct horse", True),
        ("ada@example.org", "wrong", False),
        ("bob@example.org", "correct horse", False),
    ):
        async with service.session() as session:
            assert await log_in(session, address, password, at=MOMENT) == (ada.id if right else None)
    async with service.session(user_id=ada.id) as session:
        assert (await session.scalars(sa.select(User.last_login_at))).all() == [MOMENT]
    async with service.session() as session:
        assert (await session.scalars(sa.select(User))).all() == []
    with pytest.raises(UniqueError):
        async with service.session() as session:
            await register(session, "ADA@example.org", "another horse")


async def test_what_signing_in_did_is_in_the_audit_log_without_addresses(
    service: AsyncPostgres, owner: AsyncPostgres
) -> None:
    async with service.session() as session:
        ada = await register(session, "ada@example.org", "correct horse")
    for password in ("wrong", "correct horse"):
        async with service.session() as session:
            await log_in(session, "ada@example.org", password, at=MOMENT)
    async with owner.session() as session:
        rows = (
            await session.execute(sa.text("SELECT to_jsonb(a)::text FROM storekeeper.audit_log a ORDER BY id"))
        ).all()
    assert ["login_failed" in rows[0][0], '"login"' in rows[1][0]] == [True, True]
    assert all(str(ada.id) in text and "example.org" not in text for (text,) in rows)


async def test_a_token_is_kept_as_a_digest_and_is_good_until_it_ends(
    owner: AsyncPostgres, service: AsyncPostgres
) -> None:
    ada = person()
    await added(owner, ada)
    async with service.session(user_id=ada.id) as session:
        issued = await issue(session, ada.id, "access", at=MOMENT, scope="read")
        stored = (await session.scalars(sa.select(AuthToken))).one()
        assert stored.token == digest(issued.token) != issued.token
    async with service.session() as session:
        found = await bearer(session, issued.token, "access", at=MOMENT)
        assert found is not None
        assert (found.user_id, found.scope) == (ada.id, "read")
        assert await bearer(session, issued.token, "refresh", at=MOMENT) is None
        assert await bearer(session, issued.token, "access", at=MOMENT + HOUR) is None
        assert await bearer(session, "guessed", "access", at=MOMENT) is None
    async with service.session(user_id=ada.id) as session:
        assert [await revoke(session, issued.row.id) for _ in range(2)] == [True, False]
        assert await bearer(session, issued.token, "access", at=MOMENT) is None


async def test_a_refresh_token_is_used_up_by_its_use(owner: AsyncPostgres, service: AsyncPostgres) -> None:
    ada = person()
    await added(owner, ada)
    async with service.session(user_id=ada.id) as session:
        first = await issue(session, ada.id, "refresh", at=MOMENT)
    async with service.session() as session:
        second = await refresh(session, first.token, at=MOMENT)
    with pytest.raises(RefusedError, match="not good any more"):
        async with service.session() as session:
            await refresh(session, first.token, at=MOMENT)
    async with service.session() as session:
        assert await bearer(session, second.token, "refresh", at=MOMENT) is not None


async def test_a_password_is_reset_once_and_ends_all_tokens(owner: AsyncPostgres, service: AsyncPostgres) -> None:
    async with service.session() as session:
        ada = await register(session, "ada@example.org", "correct horse")
        reset = await issue(session, ada.id, "reset", at=MOMENT)
        access = await issue(session, ada.id, "access", at=MOMENT)
    async with service.session() as session:
        assert await reset_password(session, reset.token, "battery staple", at=MOMENT) == ada.id
    with pytest.raises(RefusedError):
        async with service.session() as session:
            await reset_password(session, reset.token, "again", at=MOMENT)
    async with service.session() as session:
        assert await bearer(session, access.token, "access", at=MOMENT) is None
        assert await log_in(session, "ada@example.org", "correct horse", at=MOMENT) is None
    async with service.session() as session:
        assert await log_in(session, "ada@example.org", "battery staple", at=MOMENT) == ada.id
    async with service.session(user_id=ada.id) as session:
        await change_password(session, ada.id, "third")


async def test_only_an_admin_changes_roles(owner: AsyncPostgres, service: AsyncPostgres) -> None:
    admin, ada = person(role="admin"), person()
    await added(owner, admin, ada)
    for user in (ada.id, None):
        with pytest.raises(PermissionDeniedError):
            async with service.session(user_id=user) as session:
                await change_role(session, ada.id, "admin")
    with pytest.raises(PermissionDeniedError):
        async with service.session(user_id=ada.id) as session:
            await session.execute(sa.update(User).where(User.id == ada.id).values(role="admin"))
    async with service.session(user_id=admin.id) as session:
        await change_role(session, ada.id, "moderator")
        with pytest.raises(NotFoundError):
            await change_role(session, shop().id, "user")
    async with owner.session() as session:
        assert await session.scalar(sa.select(User.role).where(User.id == ada.id)) == "moderator"


async def test_only_an_admin_suspends_and_the_suspended_stay_so(owner: AsyncPostgres, service: AsyncPostgres) -> None:
    admin, ada = person(role="admin"), person()
    await added(owner, admin, ada)
    async with service.session(user_id=ada.id) as session:
        issued = await issue(session, ada.id, "access", at=MOMENT)
    async with service.session(user_id=admin.id) as session:
        await change_status(session, ada.id, "suspended")
    with pytest.raises(PermissionDeniedError):
        async with service.session(user_id=ada.id) as session:
            await change_status(session, ada.id, "active")
    with pytest.raises(CheckError):
        async with service.session(user_id=admin.id) as session:
            await change_status(session, ada.id, "forgotten")
    async with service.session() as session:
        assert await bearer(session, issued.token, "access", at=MOMENT) is None
    async with service.session(user_id=admin.id) as session:
        await change_status(session, ada.id, "active")
        with pytest.raises(NotFoundError):
            await change_status(session, shop().id, "active")
        assert await bearer(session, issued.token, "access", at=MOMENT) is not None
