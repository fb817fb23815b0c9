"""Accounts: registering, signing in, passwords, sessions, closing; tokens are used once and stored as digests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from invest_domain_async import invest_platform
from storekeeper import AsyncKeyRing, AsyncPlatform, InputError, MasterKeys, NotFoundError, digest
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import Portfolio, PriceAlert, Session as SessionRow, User
from storekeeper.domains.invest.errors import AddressTakenError, WrongTokenError
from storekeeper.domains.invest.operations.accounts_async import (
    Registered,
    Registration,
    close_account,
    phone_of,
    register,
    set_phone,
    verify_address,
)
from storekeeper.domains.invest.operations.logins_async import ask_for_reset, change_password, log_in, reset_password
from storekeeper.domains.invest.operations.sessions_async import (
    Issued,
    open_session,
    refresh_session,
    revoke_all_sessions,
    revoke_session,
)
from storekeeper.domains.invest.shapes import DeviceInfo, Preferences
from storekeeper.sealing import new_master_key

NOW = datetime.now(UTC)
PASSWORD = "correct horse"


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with invest_platform(migrated_url) as opened:
        yield opened


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[AsyncKeyRing]:
    async with AsyncKeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


async def registered(platform: AsyncPlatform, ring: AsyncKeyRing, email: str = "Ada@example.org") -> Registered:
    wanted = Registration(
        email=email,
        password=PASSWORD,
        first_name="Ada",
        last_name="L",
        phone="+44 20 7946 0018",
        preferences=Preferences.model_validate({"theme": "dark", "columns": ["price"]}),
    )
    async with platform.postgres.session() as session:
        return await register(session, wanted, ring=ring)


async def logged_in(platform: AsyncPlatform, email: str, password: str) -> UUID | None:
    async with platform.postgres.session() as session:
        user = await log_in(session, email, password, at=NOW)
        return None if user is None else user.id


async def issued(platform: AsyncPlatform, user_id: UUID) -> Issued:
    async with platform.postgres.session(user_id=user_id) as session:
        device = DeviceInfo.model_validate({"type": "phone", "screen": "1x1"})
        return await open_session(session, user_id, at=NOW, device=device, ip_address="::1", user_agent="x")


async def refreshed(platform: AsyncPlatform, token: str, at: datetime = NOW) -> Issued:
    async with platform.postgres.session() as session:
        return await refresh_session(session, token, at=at)


async def audited(platform: AsyncPlatform) -> list[str]:
    async with platform.postgres.session() as session:
        return list(await session.scalars(sa.text("SELECT action FROM storekeeper.audit_log ORDER BY id")))


async def test_an_account(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    new = await registered(platform, ring)
    async with platform.postgres.session(user_id=new.user.id) as session:
        user = (await session.scalars(sa.select(User))).one()
        assert (user.preferences.theme, user.preferences.model_extra) == ("dark", {"columns": ["price"]})
        assert user.password_hash.startswith("$2b$")
        assert user.phone is not None
        assert "7946" not in user.phone
        assert await phone_of(user, ring=ring) == "+44 20 7946 0018"
        await set_phone(session, user.id, None, ring=ring)
        assert await phone_of(user, ring=ring) is None
        portfolio = (await session.scalars(sa.select(Portfolio))).one()
        assert (portfolio.user_id, portfolio.name, portfolio.is_default) == (user.id, "Main Portfolio", True)
        assert user.email_verification_token == digest(new.verification_token)
    with pytest.raises(AddressTakenError):
        await registered(platform, ring, "ada@EXAMPLE.org")
    async with platform.postgres.session() as session:
        assert (await verify_address(session, new.verification_token)).email_verified
    for token in (new.verification_token, "guessed"):
        with pytest.raises(WrongTokenError):
            async with platform.postgres.session() as session:
                await verify_address(session, token)
    with pytest.raises(InputError, match="fewer than 8"):
        Registration(email="x@example.org", password="short", first_name="X", last_name="Y")
    assert await audited(platform) == ["account_created"]


async def test_signing_in_leaves_a_trace_either_way(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    new = await registered(platform, ring)
    assert await logged_in(platform, "ADA@example.org", PASSWORD) == new.user.id
    assert await logged_in(platform, "ada@example.org", "wrong horse") is None
    assert await logged_in(platform, "bob@example.org", PASSWORD) is None
    async with platform.postgres.session() as session:
        rows = await session.execute(
            sa.text("SELECT action, subject_id, actor FROM storekeeper.audit_log ORDER BY id OFFSET 1")
        )
        assert [(row.action, row.subject_id) for row in rows] == [
            ("login", str(new.user.id)),
            ("login_failed", str(new.user.id)),
            ("login_failed", "nobody"),
        ]
        assert (await session.scalars(sa.select(User.last_login))).one() == NOW


async def test_passwords_change_and_end_sessions(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    user = (await registered(platform, ring)).user
    opened = await issued(platform, user.id)
    async with platform.postgres.session(user_id=user.id) as session:
        assert not await change_password(session, user.id, "wrong horse", "battery staple")
    await refreshed(platform, opened.refresh_token)
    async with platform.postgres.session(user_id=user.id) as session:
        assert await change_password(session, user.id, PASSWORD, "battery staple")
        assert (await session.scalars(sa.select(SessionRow.id))).all() == []
    assert await logged_in(platform, user.email, PASSWORD) is None
    assert await logged_in(platform, user.email, "battery staple") == user.id
    assert await audited(platform) == [
        *("account_created", "login_failed", "password_changed"),
        *("login_failed", "login"),
    ]


async def test_a_reset_token_is_good_once_and_for_an_hour(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    user = (await registered(platform, ring)).user
    async with platform.postgres.session() as session:
        assert await ask_for_reset(session, "bob@example.org", at=NOW) is None
        void = await ask_for_reset(session, "ADA@example.org", at=NOW)
    async with platform.postgres.session() as session:
        token = await ask_for_reset(session, user.email, at=NOW)
    assert void is not None
    assert token is not None
    late = NOW + timedelta(hours=1)
    for wrong, at in ((void, NOW), (token, late), ("guessed", NOW)):
        with pytest.raises(WrongTokenError):
            async with platform.postgres.session() as session:
                await reset_password(session, wrong, "battery staple", at=at)
    opened = await issued(platform, user.id)
    async with platform.postgres.session() as session:
        await reset_password(session, token, "battery staple", at=late - timedelta(seconds=1))
    with pytest.raises(WrongTokenError):
        async with platform.postgres.session() as session:
            await reset_password(session, token, "battery staple", at=NOW)
    with pytest.raises(WrongTokenError):
        await refreshed(platform, opened.refresh_token)
    assert await logged_in(platform, user.email, "battery staple") == user.id


async def test_sessions_live_by_being_refreshed(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    user = (await registered(platform, ring)).user
    opened = await issued(platform, user.id)
    assert opened.live.device_info == {"type": "phone", "screen": "1x1"}
    assert opened.live.refresh_token == digest(opened.refresh_token) == opened.session.refresh_token
    again = await refreshed(platform, opened.refresh_token, NOW + timedelta(days=29))
    assert (again.session.id, again.session.expires_at) == (opened.session.id, NOW + timedelta(days=59))
    with pytest.raises(WrongTokenError):  # a token is used once
        await refreshed(platform, opened.refresh_token)
    with pytest.raises(WrongTokenError):
        await refreshed(platform, again.refresh_token, NOW + timedelta(days=59))
    with pytest.raises(WrongTokenError):  # a digest is no token
        await refreshed(platform, again.session.refresh_token)
    other = await issued(platform, user.id)
    async with platform.postgres.session(user_id=user.id) as session:
        listed = (await session.scalars(queries.sessions(user.id, at=NOW))).all()
        assert {one.id for one in listed} == {opened.session.id, other.session.id}
        await revoke_session(session, other.session.id)
        with pytest.raises(NotFoundError):
            await revoke_session(session, other.session.id)
        assert await revoke_all_sessions(session, user.id) == 1
        assert await revoke_all_sessions(session, user.id) == 0


async def test_a_closed_account(platform: AsyncPlatform, ring: AsyncKeyRing) -> None:
    user = (await registered(platform, ring)).user
    opened = await issued(platform, user.id)
    async with platform.postgres.session(user_id=user.id) as session:
        session.add(PriceAlert(user_id=user.id, symbol="A", alert_type="price", target_price=1, condition="above"))
        token = await ask_for_reset(session, user.email, at=NOW)
        await session.flush()
        await close_account(session, user.id, at=NOW)
    assert token is not None
    assert await logged_in(platform, user.email, PASSWORD) is None
    with pytest.raises(WrongTokenError):
        await refreshed(platform, opened.refresh_token)
    with pytest.raises(WrongTokenError):
        async with platform.postgres.session() as session:
            await reset_password(session, token, "battery staple", at=NOW)
    async with platform.postgres.session() as session:
        assert await ask_for_reset(session, user.email, at=NOW) is None
        assert (await session.scalars(sa.select(User))).all() == []
        everybody = sa.select(User.deleted_at).execution_options(include_deleted=True)
        assert (await session.scalars(everybody)).all() == [NOW]
        assert (await session.scalars(sa.select(PriceAlert.is_active))).all() == [False]
        with pytest.raises(NotFoundError):
            await close_account(session, user.id, at=NOW)
