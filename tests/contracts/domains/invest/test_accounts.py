# Generated from test_accounts_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Accounts: registering, signing in, passwords, sessions, closing; tokens are used once and stored as digests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from invest_domain import invest_platform
from storekeeper import InputError, KeyRing, MasterKeys, NotFoundError, Platform, digest
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import Portfolio, PriceAlert, Session as SessionRow, User
from storekeeper.domains.invest.errors import AddressTakenError, WrongTokenError
from storekeeper.domains.invest.operations.accounts import (
    Registered,
    Registration,
    close_account,
    phone_of,
    register,
    set_phone,
    verify_address,
)
from storekeeper.domains.invest.operations.logins import ask_for_reset, change_password, log_in, reset_password
from storekeeper.domains.invest.operations.sessions import (
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
def platform(migrated_url: str) -> Iterator[Platform]:
    with invest_platform(migrated_url) as opened:
        yield opened


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    with KeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


def registered(platform: Platform, ring: KeyRing, email: str = "Ada@example.org") -> Registered:
    wanted = Registration(
        email=email,
        password=PASSWORD,
        first_name="Ada",
        last_name="L",
        phone="+44 20 7946 0018",
        preferences=Preferences.model_validate({"theme": "dark", "columns": ["price"]}),
    )
    with platform.postgres.session() as session:
        return register(session, wanted, ring=ring)


def logged_in(platform: Platform, email: str, password: str) -> UUID | None:
    with platform.postgres.session() as session:
        user = log_in(session, email, password, at=NOW)
        return None if user is None else user.id


def issued(platform: Platform, user_id: UUID) -> Issued:
    with platform.postgres.session(user_id=user_id) as session:
        device = DeviceInfo.model_validate({"type": "phone", "screen": "1x1"})
        return open_session(session, user_id, at=NOW, device=device, ip_address="::1", user_agent="x")


def refreshed(platform: Platform, token: str, at: datetime = NOW) -> Issued:
    with platform.postgres.session() as session:
        return refresh_session(session, token, at=at)


def audited(platform: Platform) -> list[str]:
    with platform.postgres.session() as session:
        return list(session.scalars(sa.text("SELECT action FROM storekeeper.audit_log ORDER BY id")))


def test_an_account(platform: Platform, ring: KeyRing) -> None:
    new = registered(platform, ring)
    with platform.postgres.session(user_id=new.user.id) as session:
        user = (session.scalars(sa.select(User))).one()
        assert (user.preferences.theme, user.preferences.model_extra) == ("dark", {"columns": ["price"]})
        assert user.password_hash.startswith("$2b$")
        assert user.phone is not None
        assert "7946" not in user.phone
        assert phone_of(user, ring=ring) == "+44 20 7946 0018"
        set_phone(session, user.id, None, ring=ring)
        assert phone_of(user, ring=ring) is None
        portfolio = (session.scalars(sa.select(Portfolio))).one()
        assert (portfolio.user_id, portfolio.name, portfolio.is_default) == (user.id, "Main Portfolio", True)
        assert user.email_verification_token == digest(new.verification_token)
    with pytest.raises(AddressTakenError):
        registered(platform, ring, "ada@EXAMPLE.org")
    with platform.postgres.session() as session:
        assert (verify_address(session, new.verification_token)).email_verified
    for token in (new.verification_token, "guessed"):
        with pytest.raises(WrongTokenError):
            with platform.postgres.session() as session:
                verify_address(session, token)
    with pytest.raises(InputError, match="fewer than 8"):
        Registration(email="x@example.org", password="short", first_name="X", last_name="Y")
    assert audited(platform) == ["account_created"]


def test_signing_in_leaves_a_trace_either_way(platform: Platform, ring: KeyRing) -> None:
    new = registered(platform, ring)
    assert logged_in(platform, "ADA@example.org", PASSWORD) == new.user.id
    assert logged_in(platform, "ada@example.org", "wrong horse") is None
    assert logged_in(platform, "bob@example.org", PASSWORD) is None
    with platform.postgres.session() as session:
        rows = session.execute(
            sa.text("SELECT action, subject_id, actor FROM storekeeper.audit_log ORDER BY id OFFSET 1")
        )
        assert [(row.action, row.subject_id) for row in rows] == [
            ("login", str(new.user.id)),
            ("login_failed", str(new.user.id)),
            ("login_failed", "nobody"),
        ]
        assert (session.scalars(sa.select(User.last_login))).one() == NOW


def test_passwords_change_and_end_sessions(platform: Platform, ring: KeyRing) -> None:
    user = (registered(platform, ring)).user
    opened = issued(platform, user.id)
    with platform.postgres.session(user_id=user.id) as session:
        assert not change_password(session, user.id, "wrong horse", "battery staple")
    refreshed(platform, opened.refresh_token)
    with platform.postgres.session(user_id=user.id) as session:
        assert change_password(session, user.id, PASSWORD, "battery staple")
        assert (session.scalars(sa.select(SessionRow.id))).all() == []
    assert logged_in(platform, user.email, PASSWORD) is None
    assert logged_in(platform, user.email, "battery staple") == user.id
    assert audited(platform) == [
        *("account_created", "login_failed", "password_changed"),
        *("login_failed", "login"),
    ]


def test_a_reset_token_is_good_once_and_for_an_hour(platform: Platform, ring: KeyRing) -> None:
    user = (registered(platform, ring)).user
    with platform.postgres.session() as session:
        assert ask_for_reset(session, "bob@example.org", at=NOW) is None
        void = ask_for_reset(session, "ADA@example.org", at=NOW)
    with platform.postgres.session() as session:
        token = ask_for_reset(session, user.email, at=NOW)
    assert void is not None
    assert token is not None
    late = NOW + timedelta(hours=1)
    for wrong, at in ((void, NOW), (token, late), ("guessed", NOW)):
        with pytest.raises(WrongTokenError):
            with platform.postgres.session() as session:
                reset_password(session, wrong, "battery staple", at=at)
    opened = issued(platform, user.id)
    with platform.postgres.session() as session:
        reset_password(session, token, "battery staple", at=late - timedelta(seconds=1))
    with pytest.raises(WrongTokenError):
        with platform.postgres.session() as session:
            reset_password(session, token, "battery staple", at=NOW)
    with pytest.raises(WrongTokenError):
        refreshed(platform, opened.refresh_token)
    assert logged_in(platform, user.email, "battery staple") == user.id


def test_sessions_live_by_being_refreshed(platform: Platform, ring: KeyRing) -> None:
    user = (registered(platform, ring)).user
    opened = issued(platform, user.id)
    assert opened.live.device_info == {"type": "phone", "screen": "1x1"}
    assert opened.live.refresh_token == digest(opened.refresh_token) == opened.session.refresh_token
    again = refreshed(platform, opened.refresh_token, NOW + timedelta(days=29))
    assert (again.session.id, again.session.expires_at) == (opened.session.id, NOW + timedelta(days=59))
    with pytest.raises(WrongTokenError):  # a token is used once
        refreshed(platform, opened.refresh_token)
    with pytest.raises(WrongTokenError):
        refreshed(platform, again.refresh_token, NOW + timedelta(days=59))
    with pytest.raises(WrongTokenError):  # a digest is no token
        refreshed(platform, again.session.refresh_token)
    other = issued(platform, user.id)
    with platform.postgres.session(user_id=user.id) as session:
        listed = (session.scalars(queries.sessions(user.id, at=NOW))).all()
        assert {one.id for one in listed} == {opened.session.id, other.session.id}
        revoke_session(session, other.session.id)
        with pytest.raises(NotFoundError):
            revoke_session(session, other.session.id)
        assert revoke_all_sessions(session, user.id) == 1
        assert revoke_all_sessions(session, user.id) == 0


def test_a_closed_account(platform: Platform, ring: KeyRing) -> None:
    user = (registered(platform, ring)).user
    opened = issued(platform, user.id)
    with platform.postgres.session(user_id=user.id) as session:
        session.add(PriceAlert(user_id=user.id, symbol="A", alert_type="price", target_price=1, condition="above"))
        token = ask_for_reset(session, user.email, at=NOW)
        session.flush()
        close_account(session, user.id, at=NOW)
    assert token is not None
    assert logged_in(platform, user.email, PASSWORD) is None
    with pytest.raises(WrongTokenError):
        refreshed(platform, opened.refresh_token)
    with pytest.raises(WrongTokenError):
        with platform.postgres.session() as session:
            reset_password(session, token, "battery staple", at=NOW)
    with platform.postgres.session() as session:
        assert ask_for_reset(session, user.email, at=NOW) is None
        assert (session.scalars(sa.select(User))).all() == []
        everybody = sa.select(User.deleted_at).execution_options(include_deleted=True)
        assert (session.scalars(everybody)).all() == [NOW]
        assert (session.scalars(sa.select(PriceAlert.is_active))).all() == [False]
        with pytest.raises(NotFoundError):
            close_account(session, user.id, at=NOW)
