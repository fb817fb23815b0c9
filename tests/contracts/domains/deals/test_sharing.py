# Generated from test_sharing_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Saving and passing on deals, and signing in: as the role that services use, under row-level security."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from deals_domain import MOMENT, offer, person, shop
from storekeeper import InputError, NotFoundError, RefusedError, connect, digest
from storekeeper.domains.deals.entities import AuthToken, SavedDeal, SharedDeal, SocialInteraction, User
from storekeeper.domains.deals.operations.auth import (
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
from storekeeper.domains.deals.operations.sharing import open_link, save, share, unsave, withdraw
from storekeeper.errors import CheckError, PermissionDeniedError, UniqueError
from storekeeper.stores.postgres.postgres import Postgres

HOUR = timedelta(hours=1)


@pytest.fixture
def owner(migrated_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=migrated_url, timescale_url=migrated_url) as platform:
        yield platform.postgres


@pytest.fixture
def service(app_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


def added(postgres: Postgres, *entities: Any) -> None:
    with postgres.session() as session:
        for entity in entities:
            session.add(entity)
            session.flush()


def test_a_deal_is_saved_once(owner: Postgres, service: Postgres) -> None:
    ada, market = person(), shop()
    deal = offer(market.id)
    added(owner, ada, market, deal)
    with service.session(user_id=ada.id) as session:
        assert [save(session, ada.id, deal.id, notes=note) for note in (None, "mine", None)] == [
            True,
            False,
            False,
        ]
        assert (session.scalars(sa.select(SavedDeal.notes))).all() == ["mine"]
        assert (session.scalars(sa.select(SocialInteraction.interaction_type))).all() == ["save"]
        assert [unsave(session, ada.id, deal.id) for _ in range(2)] == [True, False]


def test_a_link_opens_for_everybody_and_counts(owner: Postgres, service: Postgres) -> None:
    ada, bob, market = person(), person(), shop()
    deal = offer(market.id)
    added(owner, ada, bob, market, deal)
    with service.session(user_id=ada.id) as session:
        shared = share(session, ada.id, deal.id, "link", message="look", expires_at=MOMENT + HOUR)
        link = shared.public_link_id
        assert link is not None
        assert len(link) >= 43
    for number in (1, 2):
        with service.session() as session:
            opened = open_link(session, link, at=MOMENT)
        assert (opened.deal_id, opened.message, opened.click_count) == (deal.id, "look", number)
    with service.session(user_id=bob.id) as session:
        assert (session.scalars(sa.select(SharedDeal))).all() == []
        with pytest.raises(NotFoundError):
            withdraw(session, shared.id)
        for wrong, at in (("x", MOMENT), (link, MOMENT + HOUR)):
            with pytest.raises(NotFoundError, match="opens nothing"):
                open_link(session, wrong, at=at)
    with service.session(user_id=ada.id) as session:
        withdraw(session, shared.id)
        with pytest.raises(NotFoundError, match="opens nothing"):
            open_link(session, link, at=MOMENT)


def test_an_email_has_recipients(owner: Postgres) -> None:
    ada, market = person(), shop()
    deal = offer(market.id)
    added(owner, ada, market, deal)
    with owner.session() as session:
        with pytest.raises(InputError, match="no recipients"):
            share(session, ada.id, deal.id, "email")
        shared = share(session, ada.id, deal.id, "email", recipients=["bob@example.org"])
        assert shared.public_link_id is None


def test_nobody_needs_to_be_signed_in_to_sign_in(service: Postgres) -> None:
    with service.session() as session:
        ada = register(session, "Ada@example.org", "correct horse")
        assert ada.hashed_password.startswith("$2")
    for address, password, right in (
        ("ada@EXAMPLE.org", "correct horse", True),
        ("ada@example.org", "wrong", False),
        ("bob@example.org", "correct horse", False),
    ):
        with service.session() as session:
            assert log_in(session, address, password, at=MOMENT) == (ada.id if right else None)
    with service.session(user_id=ada.id) as session:
        assert (session.scalars(sa.select(User.last_login_at))).all() == [MOMENT]
    with service.session() as session:
        assert (session.scalars(sa.select(User))).all() == []
    with pytest.raises(UniqueError):
        with service.session() as session:
            register(session, "ADA@example.org", "another horse")


def test_what_signing_in_did_is_in_the_audit_log_without_addresses(service: Postgres, owner: Postgres) -> None:
    with service.session() as session:
        ada = register(session, "ada@example.org", "correct horse")
    for password in ("wrong", "correct horse"):
        with service.session() as session:
            log_in(session, "ada@example.org", password, at=MOMENT)
    with owner.session() as session:
        rows = (session.execute(sa.text("SELECT to_jsonb(a)::text FROM storekeeper.audit_log a ORDER BY id"))).all()
    assert ["login_failed" in rows[0][0], '"login"' in rows[1][0]] == [True, True]
    assert all(str(ada.id) in text and "example.org" not in text for (text,) in rows)


def test_a_token_is_kept_as_a_digest_and_is_good_until_it_ends(owner: Postgres, service: Postgres) -> None:
    ada = person()
    added(owner, ada)
    with service.session(user_id=ada.id) as session:
        issued = issue(session, ada.id, "access", at=MOMENT, scope="read")
        stored = (session.scalars(sa.select(AuthToken))).one()
        assert stored.token == digest(issued.token) != issued.token
    with service.session() as session:
        found = bearer(session, issued.token, "access", at=MOMENT)
        assert found is not None
        assert (found.user_id, found.scope) == (ada.id, "read")
        assert bearer(session, issued.token, "refresh", at=MOMENT) is None
        assert bearer(session, issued.token, "access", at=MOMENT + HOUR) is None
        assert bearer(session, "guessed", "access", at=MOMENT) is None
    with service.session(user_id=ada.id) as session:
        assert [revoke(session, issued.row.id) for _ in range(2)] == [True, False]
        assert bearer(session, issued.token, "access", at=MOMENT) is None


def test_a_refresh_token_is_used_up_by_its_use(owner: Postgres, service: Postgres) -> None:
    ada = person()
    added(owner, ada)
    with service.session(user_id=ada.id) as session:
        first = issue(session, ada.id, "refresh", at=MOMENT)
    with service.session() as session:
        second = refresh(session, first.token, at=MOMENT)
    with pytest.raises(RefusedError, match="not good any more"):
        with service.session() as session:
            refresh(session, first.token, at=MOMENT)
    with service.session() as session:
        assert bearer(session, second.token, "refresh", at=MOMENT) is not None


def test_a_password_is_reset_once_and_ends_all_tokens(owner: Postgres, service: Postgres) -> None:
    with service.session() as session:
        ada = register(session, "ada@example.org", "correct horse")
        reset = issue(session, ada.id, "reset", at=MOMENT)
        access = issue(session, ada.id, "access", at=MOMENT)
    with service.session() as session:
        assert reset_password(session, reset.token, "battery staple", at=MOMENT) == ada.id
    with pytest.raises(RefusedError):
        with service.session() as session:
            reset_password(session, reset.token, "again", at=MOMENT)
    with service.session() as session:
        assert bearer(session, access.token, "access", at=MOMENT) is None
        assert log_in(session, "ada@example.org", "correct horse", at=MOMENT) is None
    with service.session() as session:
        assert log_in(session, "ada@example.org", "battery staple", at=MOMENT) == ada.id
    with service.session(user_id=ada.id) as session:
        change_password(session, ada.id, "third")


def test_only_an_admin_changes_roles(owner: Postgres, service: Postgres) -> None:
    admin, ada = person(role="admin"), person()
    added(owner, admin, ada)
    for user in (ada.id, None):
        with pytest.raises(PermissionDeniedError):
            with service.session(user_id=user) as session:
                change_role(session, ada.id, "admin")
    with pytest.raises(PermissionDeniedError):
        with service.session(user_id=ada.id) as session:
            session.execute(sa.update(User).where(User.id == ada.id).values(role="admin"))
    with service.session(user_id=admin.id) as session:
        change_role(session, ada.id, "moderator")
        with pytest.raises(NotFoundError):
            change_role(session, shop().id, "user")
    with owner.session() as session:
        assert session.scalar(sa.select(User.role).where(User.id == ada.id)) == "moderator"


def test_only_an_admin_suspends_and_the_suspended_stay_so(owner: Postgres, service: Postgres) -> None:
    admin, ada = person(role="admin"), person()
    added(owner, admin, ada)
    with service.session(user_id=ada.id) as session:
        issued = issue(session, ada.id, "access", at=MOMENT)
    with service.session(user_id=admin.id) as session:
        change_status(session, ada.id, "suspended")
    with pytest.raises(PermissionDeniedError):
        with service.session(user_id=ada.id) as session:
            change_status(session, ada.id, "active")
    with pytest.raises(CheckError):
        with service.session(user_id=admin.id) as session:
            change_status(session, ada.id, "forgotten")
    with service.session() as session:
        assert bearer(session, issued.token, "access", at=MOMENT) is None
    with service.session(user_id=admin.id) as session:
        change_status(session, ada.id, "active")
        with pytest.raises(NotFoundError):
            change_status(session, shop().id, "active")
        assert bearer(session, issued.token, "access", at=MOMENT) is not None
