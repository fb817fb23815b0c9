# Generated from test_redeem_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Redemption codes give their tokens to those who may have them, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from deals_domain import MOMENT, administrator, code, person, stored
from storekeeper import NotFoundError, RefusedError, connect
from storekeeper.domains.deals.entities import RedemptionCode
from storekeeper.domains.deals.errors import CodeExhaustedError, CodeExpiredError, CodeRedeemedError
from storekeeper.domains.deals.operations.redeem import end_code, make_code, redeem
from storekeeper.domains.deals.operations.tokens import balance_of
from storekeeper.errors import PermissionDeniedError
from storekeeper.stores.postgres.postgres import Postgres


@pytest.fixture
def postgres(app_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


def count_of(url: str, one: RedemptionCode) -> int | None:
    with administrator(url) as session:
        return session.scalar(sa.select(RedemptionCode.redemptions_count).where(RedemptionCode.id == one.id))


def test_a_code_gives_its_tokens_once_a_user(postgres: Postgres, migrated_url: str) -> None:
    users = [person() for _ in range(3)]
    one = code(max_redemptions=2, token_amount=50, expires_at=MOMENT + timedelta(seconds=1))
    stored(migrated_url, *users, one)
    for user in users[:2]:
        with postgres.session(user_id=user.id) as session:
            posting = redeem(session, one.code, at=MOMENT)
            assert (posting.user_id, posting.type, posting.amount) == (user.id, "redemption_code", Decimal(50))
            assert posting.reference_id == one.id
    for user, refusal in zip(users, (CodeRedeemedError, CodeRedeemedError, CodeExhaustedError), strict=True):
        with postgres.session(user_id=user.id) as session:
            with pytest.raises(refusal) as refused:
                redeem(session, one.code, at=MOMENT)
            assert one.code not in str(refused.value)
            assert balance_of(session, user.id) == (0 if user is users[2] else 50)
    assert count_of(migrated_url, one) == 2


@pytest.mark.parametrize(
    "given", [{"is_active": False}, {"expires_at": MOMENT}, {"expires_at": MOMENT - timedelta(days=1)}]
)
def test_a_code_whose_time_is_over_gives_nothing(postgres: Postgres, migrated_url: str, given: dict[str, Any]) -> None:
    user, one = person(), code(**given)
    stored(migrated_url, user, one)
    with postgres.session(user_id=user.id) as session:
        with pytest.raises(CodeExpiredError):
            redeem(session, one.code, at=MOMENT)
    assert count_of(migrated_url, one) == 0


def test_there_is_no_code_by_another_spelling(postgres: Postgres, migrated_url: str) -> None:
    user, one = person(), code()
    stored(migrated_url, user, one)
    with postgres.session(user_id=user.id) as session:
        for wrong in (one.code.lower(), one.code + " ", ""):
            with pytest.raises(NotFoundError):
                redeem(session, wrong, at=MOMENT)


def test_who_is_not_active_redeems_nothing(postgres: Postgres, migrated_url: str) -> None:
    suspended, one = person(status="suspended"), code()
    stored(migrated_url, suspended, one)
    for user_id in (None, uuid4(), suspended.id):
        with postgres.session(user_id=user_id) as session:
            with pytest.raises(RefusedError, match="no active user"):
                redeem(session, one.code, at=MOMENT)
    assert count_of(migrated_url, one) == 0


def test_only_an_admin_makes_and_ends_codes(postgres: Postgres, migrated_url: str) -> None:
    admin, ada = person(role="admin"), person()
    stored(migrated_url, admin, ada)
    with pytest.raises(PermissionDeniedError):
        with postgres.session(user_id=ada.id) as session:
            make_code(session, "MINE", 1_000_000)
    with pytest.raises(PermissionDeniedError):
        with postgres.session(user_id=ada.id) as session:
            session.add(code(created_by=ada.id))
    with postgres.session(user_id=admin.id) as session:
        made = make_code(session, "OURS", 5, max_redemptions=2, expires_at=MOMENT + timedelta(days=1))
    with postgres.session(user_id=ada.id) as session:
        assert (redeem(session, "OURS", at=MOMENT)).amount == 5
        assert (session.scalars(sa.select(RedemptionCode))).all() == []
    with pytest.raises(PermissionDeniedError):
        with postgres.session(user_id=ada.id) as session:
            end_code(session, made)
    with postgres.session(user_id=admin.id) as session:
        end_code(session, made)
        with pytest.raises(CodeExpiredError):
            redeem(session, "OURS", at=MOMENT)
        with pytest.raises(NotFoundError):
            end_code(session, ada.id)
