# Generated from test_dealing_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Deals go one way, hold both of their agents while they are under way, and leave their mark on both."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from rooms_domain import (
    AT,
    agents_now,
    check_all,
    new_agent,
    new_deal,
    new_nft,
    new_room,
    new_user,
    rooms_platform,
)
from storekeeper import InputError, NotFoundError, Platform, RefusedError
from storekeeper.domains.rooms.entities import Agent, AgentPerformance, Deal
from storekeeper.domains.rooms.errors import AgentBusyError, PriceError, RoomNotOpenError, StateError
from storekeeper.domains.rooms.operations.dealing import agents_of_deal, complete, fail, lock, propose, verify
from storekeeper.domains.rooms.operations.placing import move_room, reprice
from storekeeper.domains.rooms.operations.talking import bring_back, negotiate
from storekeeper.domains.rooms.shapes import Consensus

VOTE = Consensus(nodes=4, approvals=3, rejections=1, reached=True)
STEPS = ("lock", "verify", "complete", "fail")
#: Where each step leads from where it may be taken.
LEGAL = {
    ("pending", "lock"): "locked",
    ("locked", "verify"): "verifying",
    ("verifying", "complete"): "completed",
    ("pending", "fail"): "failed",
    ("locked", "fail"): "failed",
    ("verifying", "fail"): "failed",
}
#: The steps that lead to each status.
WAYS: dict[str, tuple[str, ...]] = {
    "pending": (),
    "locked": ("lock",),
    "verifying": ("lock", "verify"),
    "completed": ("lock", "verify", "complete"),
    "failed": ("fail",),
}


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with rooms_platform(migrated_url) as opened:
        yield opened


def step(session: Session, name: str, deal: Deal, at: datetime = AT) -> Deal:
    if name == "lock":
        return lock(session, deal.id, at=at)
    if name == "verify":
        return verify(session, deal.id, VOTE, at=at)
    if name == "complete":
        return complete(session, deal.id, tx_hash="0xabc", block_number=2**40, at=at)
    return fail(session, deal.id, at=at)


def taken(platform: Platform, deal: Deal, *names: str, at: datetime = AT) -> Deal:
    for name in names:
        with platform.postgres.session(user_id=deal.seller_user_id) as session:
            deal = step(session, name, deal, at)
    return deal


def pair(platform: Platform) -> tuple[Agent, Agent]:
    room = new_room(platform)
    return new_agent(platform, room, "buyer", 8), new_agent(platform, room, "seller", 12)


def test_a_deal_from_end_to_end(platform: Platform) -> None:
    buyer, seller = pair(platform)
    proposed = new_deal(platform, buyer, seller)
    assert (proposed.status, proposed.nft_id, proposed.locked_at) == ("pending", seller.nft_id, None)
    assert agents_now(platform) == {buyer.id: ("active", None), seller.id: ("active", None)}

    taken(platform, proposed, "lock")
    held = {buyer.id: ("deal_locked", proposed.id), seller.id: ("deal_locked", proposed.id)}
    assert agents_now(platform) == held
    check_all(platform)
    taken(platform, proposed, "verify", at=AT + timedelta(minutes=1))
    assert agents_now(platform) == held

    done = taken(platform, proposed, "complete", at=AT + timedelta(minutes=2))
    assert (done.locked_at, done.verified_at, done.completed_at) == tuple(
        AT + timedelta(minutes=minutes) for minutes in range(3)
    )
    assert (done.status, done.tx_hash, done.block_number, done.consensus_result) == ("completed", "0xabc", 2**40, VOTE)
    assert {status for status, _ in (agents_now(platform)).values()} == {"completed"}
    check_all(platform)


def test_a_deal_goes_no_other_way(platform: Platform) -> None:
    for status, name in product(WAYS, STEPS):
        buyer, seller = pair(platform)
        deal = taken(platform, new_deal(platform, buyer, seller), *WAYS[status])
        assert deal.status == status
        before = agents_now(platform)
        wanted = LEGAL.get((status, name))
        if wanted is None:
            with pytest.raises(StateError) as refused:
                taken(platform, deal, name)
            assert f"it is {status}" in str(refused.value)
            assert agents_now(platform) == before
        else:
            assert (taken(platform, deal, name)).status == wanted
    check_all(platform)


def test_agents_of_a_failed_deal_are_free_for_another(platform: Platform) -> None:
    buyer, seller = pair(platform)
    first, second = new_deal(platform, buyer, seller, 10), new_deal(platform, buyer, seller, 11)
    taken(platform, first, "lock", "verify")
    with pytest.raises(AgentBusyError):
        taken(platform, second, "lock")
    taken(platform, first, "fail")
    assert agents_now(platform) == {buyer.id: ("active", None), seller.id: ("active", None)}
    assert (taken(platform, second, "lock")).status == "locked"
    check_all(platform)


def test_what_is_achieved_is_counted_of_both(platform: Platform) -> None:
    buyer, seller = pair(platform)
    for ending in ("fail", "fail", "complete"):
        deal = new_deal(platform, buyer, seller)
        ended = deal.created_at + timedelta(seconds=90, milliseconds=600)
        taken(platform, deal, "lock", "verify", ending, at=ended)
    with platform.postgres.session() as session:
        of_both = (session.scalars(sa.select(AgentPerformance))).all()
    assert {row.agent_id for row in of_both} == {buyer.id, seller.id}
    for row in of_both:
        assert (row.deals_completed, row.success_rate, row.avg_negotiation_time) == (1, Decimal("33.33"), 91)
        assert (row.total_messages, row.last_active_at) == (0, ended)

    with platform.postgres.session(user_id=seller.user_id) as session:
        again = bring_back(session, seller.id, nft_id=new_nft(platform))
        assert (again.status, again.deal_id) == ("active", None)
    with platform.postgres.session(user_id=buyer.user_id) as session:
        bring_back(session, buyer.id)
    deal = new_deal(platform, buyer, seller)
    taken(platform, deal, "lock", "verify", "complete", at=deal.created_at + timedelta(seconds=30))
    with platform.postgres.session() as session:
        rows = session.execute(
            sa.select(
                AgentPerformance.deals_completed, AgentPerformance.success_rate, AgentPerformance.avg_negotiation_time
            )
        )
        # (90.6 + 30) / 2 is 60.3
        assert {tuple(row) for row in rows} == {(2, Decimal("50.00"), 60)}


def test_a_deal_is_of_its_two_users_and_of_nobody_else(platform: Platform) -> None:
    buyer, seller = pair(platform)
    deal = new_deal(platform, buyer, seller)
    for stranger in (new_user(platform), None):
        with platform.postgres.session(user_id=stranger) as session:
            for name in STEPS:
                with pytest.raises(NotFoundError):
                    step(session, name, deal)
            with pytest.raises(NotFoundError):
                agents_of_deal(session, deal.id)
            with pytest.raises(NotFoundError):
                propose(session, buyer_agent_id=buyer.id, seller_agent_id=seller.id, final_price=Decimal(1))
    with platform.postgres.session(user_id=seller.user_id) as session:
        with pytest.raises(NotFoundError):
            lock(session, uuid4(), at=AT)
        mine_and_theirs = agents_of_deal(session, deal.id)
        assert [(one.agent_id, one.role) for one in mine_and_theirs] == [(buyer.id, "buyer"), (seller.id, "seller")]
        assert not {"min_price", "max_price", "strategy"} & set(vars(mine_and_theirs[0]))


def test_what_cannot_be_proposed(platform: Platform) -> None:
    room = new_room(platform)
    buyer = new_agent(platform, room, "buyer", 8, max_price=Decimal(20))
    seller = new_agent(platform, room, "seller", 12, min_price=Decimal(9))
    empty_handed = new_agent(platform, room, "seller", nft_id=None)
    elsewhere = new_agent(platform, new_room(platform), "seller")
    for one, price, error in (
        (seller, "8.99", PriceError),
        (seller, "20.01", PriceError),
        (empty_handed, "10", RefusedError),
        (elsewhere, "10", RefusedError),
        (buyer, "10", NotFoundError),
        (seller, "0", InputError),
        (seller, "-1", InputError),
        (seller, "NaN", InputError),
        (seller, "9.999", InputError),
        (seller, "100000000", InputError),
    ):
        with platform.postgres.session(user_id=buyer.user_id) as session:
            with pytest.raises(error):
                propose(session, buyer_agent_id=buyer.id, seller_agent_id=one.id, final_price=Decimal(price))
    for price in ("9", "20"):
        assert (new_deal(platform, buyer, seller, Decimal(price))).final_price == Decimal(price)


def test_limits_that_have_moved_since_the_proposal_hold_when_it_is_locked(platform: Platform) -> None:
    room = new_room(platform)
    buyer = new_agent(platform, room, "buyer", max_price=Decimal(12))
    seller = new_agent(platform, room, "seller", min_price=Decimal(8))
    deal = new_deal(platform, buyer, seller)
    for agent, limits in ((seller, {"min_price": Decimal("10.01")}), (buyer, {"max_price": Decimal("9.99")})):
        with platform.postgres.session(user_id=agent.user_id) as session:
            starting = Decimal(11) if agent is seller else Decimal(9)
            reprice(session, agent.id, starting_price=starting, **limits)
        with pytest.raises(PriceError):
            taken(platform, deal, "lock")
        with platform.postgres.session(user_id=agent.user_id) as session:
            reprice(session, agent.id, starting_price=Decimal(10))
    assert (taken(platform, deal, "lock")).status == "locked"
    check_all(platform)


def test_nothing_begins_in_a_paused_room_and_what_is_under_way_ends(platform: Platform) -> None:
    room = new_room(platform)
    first = [new_agent(platform, room, role) for role in ("buyer", "seller")]
    second = [new_agent(platform, room, role) for role in ("buyer", "seller")]
    under_way = taken(platform, new_deal(platform, first[0], first[1]), "lock")
    pending = new_deal(platform, second[0], second[1])
    with platform.postgres.session() as session:
        move_room(session, room.id, "paused")
    with pytest.raises(RoomNotOpenError):
        taken(platform, pending, "lock")
    with pytest.raises(RoomNotOpenError):
        new_deal(platform, second[0], second[1])
    assert (taken(platform, under_way, "verify", "complete")).status == "completed"


def test_an_agent_that_negotiates_may_be_locked_and_one_that_is_through_may_not(platform: Platform) -> None:
    buyer, seller = pair(platform)
    late = new_deal(platform, buyer, seller)
    with platform.postgres.session(user_id=buyer.user_id) as session:
        assert (negotiate(session, buyer.id)).status == "negotiating"
    taken(platform, new_deal(platform, buyer, seller), "lock", "verify", "complete")
    with pytest.raises(AgentBusyError):
        taken(platform, late, "lock")
    with pytest.raises(AgentBusyError):
        new_deal(platform, buyer, seller)
