# Generated from test_users_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Users: their wallet, what they want to hear of, and the Telegram chat that is sealed for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain import defi_platform, new_user
from storekeeper import KeyRing, MasterKeys, NotFoundError, Platform
from storekeeper.domains.defi.entities import User
from storekeeper.domains.defi.operations.users import prefer, set_telegram_chat, telegram_chat_of
from storekeeper.domains.defi.shapes import Preferences
from storekeeper.errors import SealedValueError
from storekeeper.sealing import new_master_key


@pytest.fixture
def platform(shared_url: str) -> Iterator[Platform]:
    with defi_platform(shared_url) as platform:
        yield platform


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    with KeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


def test_a_telegram_chat_is_sealed_and_opened_for_its_user(platform: Platform, ring: KeyRing) -> None:
    ada, bob = new_user(platform), new_user(platform)
    of = sa.select(User).order_by(User.id == bob).where(User.id.in_([ada, bob]))
    with platform.postgres.session() as session:
        set_telegram_chat(session, ring, ada, "471147114711")
    with platform.postgres.session() as session:
        known, unknown = (session.scalars(of)).all()
        assert telegram_chat_of(ring, known) == "471147114711"
        assert telegram_chat_of(ring, unknown) is None
        assert known.telegram_chat_id is not None
        assert "4711" not in known.telegram_chat_id
        unknown.telegram_chat_id = known.telegram_chat_id
        with pytest.raises(SealedValueError):
            telegram_chat_of(ring, unknown)
        set_telegram_chat(session, ring, ada, None)
    with platform.postgres.session() as session:
        known, _ = (session.scalars(of)).all()
        assert known.telegram_chat_id is None


def test_who_is_not_there_prefers_nothing(platform: Platform, ring: KeyRing) -> None:
    with platform.postgres.session() as session:
        with pytest.raises(NotFoundError, match="change preferences"):
            prefer(session, uuid4(), Preferences())
        with pytest.raises(NotFoundError, match="set the Telegram chat"):
            set_telegram_chat(session, ring, uuid4(), "4711")
