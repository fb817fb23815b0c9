# Generated from test_chat_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What is sealed in the deals domain: chats for their user, keys of markets for the installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from deals_domain import person, shop, stored, wish
from storekeeper import InputError, KeyRing, MasterKeys, NotFoundError, connect
from storekeeper.domains.deals.entities import ChatMessage, Market
from storekeeper.domains.deals.operations.chat import Said, conversation, say
from storekeeper.domains.deals.operations.markets import api_key_of, set_api_key
from storekeeper.errors import CheckError, KeyMissingError, SealedValueError
from storekeeper.sealing import new_master_key
from storekeeper.stores.postgres.postgres import Postgres

SECRET = "a present for Bob 🎁"


@pytest.fixture
def service(app_url: str) -> Iterator[Postgres]:
    with connect(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    with KeyRing(tmp_path / "keys", MasterKeys.of(new_master_key())) as opened:
        yield opened


def test_a_chat_is_read_as_it_was_said(service: Postgres, ring: KeyRing, migrated_url: str) -> None:
    ada = person()
    goal = wish(ada.id)
    stored(migrated_url, ada, goal)
    said: list[Said] = []
    with service.session(user_id=ada.id) as session:
        for number, role in enumerate(("system", "user", "assistant", "user", "assistant")):
            about = goal.id if number > 2 else None
            text = f"{SECRET} {number}"
            said.append(
                say(session, ring, ada.id, role, text, goal_id=about, tokens_used=number, meta={"model": f"m{number}"})
            )
    newest_first = tuple(reversed(said))
    with service.session(user_id=ada.id) as session:
        first = conversation(session, ring, ada.id, limit=2)
        second = conversation(session, ring, ada.id, after=first.next, limit=2)
        third = conversation(session, ring, ada.id, after=second.next, limit=2)
        assert (*first.items, *second.items, *third.items) == newest_first
        assert third.next is None
        about_goal = conversation(session, ring, ada.id, goal_id=goal.id)
        assert about_goal.items == newest_first[:2]
        kept = (session.scalars(sa.select(ChatMessage.content))).all()
    assert not any("present" in content for content in kept)
    assert SECRET not in repr(said)


def test_what_cannot_be_said(service: Postgres, ring: KeyRing, migrated_url: str) -> None:
    ada, bob = person(), person()
    goal = wish(ada.id)
    stored(migrated_url, ada, bob, goal)
    with service.session(user_id=bob.id) as session:
        for unknown in (goal.id, uuid4()):
            with pytest.raises(NotFoundError, match="has no goal"):
                say(session, ring, bob.id, "user", "x", goal_id=unknown)
        with pytest.raises(InputError, match="-1 tokens"):
            say(session, ring, bob.id, "user", "x", tokens_used=-1)
    with pytest.raises(CheckError, match="role"):
        with service.session(user_id=bob.id) as session:
            say(session, ring, bob.id, "narrator", "x")


def test_a_message_that_was_moved_or_whose_key_is_gone_does_not_open(
    service: Postgres, ring: KeyRing, migrated_url: str
) -> None:
    ada = person()
    stored(migrated_url, ada)
    with service.session(user_id=ada.id) as session:
        one, two = [say(session, ring, ada.id, "user", text) for text in ("one", "two")]
        other = sa.select(ChatMessage.content).where(ChatMessage.id == two.id).scalar_subquery()
        session.execute(sa.update(ChatMessage).where(ChatMessage.id == one.id).values(content=other))
    with service.session(user_id=ada.id) as session:
        assert (conversation(session, ring, ada.id, limit=1)).items == (two,)
        with pytest.raises(SealedValueError, match=r"chat_messages\.content"):
            conversation(session, ring, ada.id)
    ring.forget(str(ada.id))
    with service.session(user_id=ada.id) as session:
        with pytest.raises(KeyMissingError):
            conversation(session, ring, ada.id, limit=1)


def test_a_market_keeps_its_key_sealed(service: Postgres, ring: KeyRing, migrated_url: str) -> None:
    market, other = shop(), shop(rate_limit=10)
    stored(migrated_url, market, other)
    with service.session() as session:
        assert api_key_of(session, ring, market.id) is None
        set_api_key(session, ring, market.id, "k-123")
    with service.session() as session:
        assert api_key_of(session, ring, market.id) == "k-123"
        sealed = session.scalar(sa.select(Market.api_key).where(Market.id == market.id))
        assert sealed is not None
        assert "k-123" not in sealed
        session.execute(sa.update(Market).where(Market.id == other.id).values(api_key=sealed))
        with pytest.raises(SealedValueError):
            api_key_of(session, ring, other.id)
        set_api_key(session, ring, market.id, None)
        assert api_key_of(session, ring, market.id) is None
        with pytest.raises(NotFoundError, match="no such market"):
            api_key_of(session, ring, uuid4())
        with pytest.raises(NotFoundError, match="no such market"):
            set_api_key(session, ring, uuid4(), "x")
