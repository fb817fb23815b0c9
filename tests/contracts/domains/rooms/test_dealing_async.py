"""Deals go one way, hold both of their agents while they are under way, and leave their mark on both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from rooms_domain_async import (
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
from storekeeper import AsyncPlatform, InputError, NotFoundError, RefusedError
from storekeeper.domains.rooms.entities import Agent, AgentPerformance, Deal
from storekeeper.domains.rooms.errors import AgentBusyError, PriceError, RoomNotOpenError, StateError
from storekeeper.domains.rooms.operations.dealing_async import agents_of_deal, complete, fail, lock, propose, verify
from storekeeper.domains.rooms.operations.placing_async import move_room, reprice
from storekeeper.domains.rooms.operations.talking_async import bring_back, negotiate
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
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with rooms_platform(migrated_url) as opened:
        yield opened


async def step(session: AsyncSession, name: str, deal: Deal, at: datetime = AT) -> Deal:
    if name == "lock":
        return await lock(session, deal.id, at=at)
    if name == "verify":
        return await verify(session, deal.id, VOTE, at=at)
    if name == "complete":
        return await complete(session, deal.id, tx_hash="0xabc", block_number=2**40, at=at)
    return await fail(session, deal.id, at=at)


async def taken(platform: AsyncPlatform, deal: Deal, *names: str, at: datetime = AT) -> Deal:
    for name in names:
        async with platform.postgres.session(user_id=deal.seller_user_id) as session:
            deal = await step(session, name, deal, at)
    return deal


async def pair(platform: AsyncPlatform) -> tuple[Agent, Agent]:
    room = await new_room(platform)
    return await new_agent(platform, room, "buyer", 8), await new_agent(platform, room, "seller", 12)


@pytest.mark.asyncio
async def test_a_deal_from_end_to_end(platform: AsyncPlatform) -> None:
    buyer, seller = await pair(platform)
    proposed = await new_deal(platform, buyer, seller)
    assert (proposed.status, proposed.nft_id, proposed.locked_at) == ("pending", seller.nft_id, None)
    assert await agents_now(platform) == {buyer.id: ("active", None), seller.id: ("active", None)}

    await taken(platform, proposed, "lock")
    held = {buyer.id: ("deal_locked", proposed.id), seller.id: ("deal_locked", proposed.id)}
    assert await agents_now(platform) == held
    await check_all(platform)
    await taken(platform, proposed, "verify", at=AT + timedelta(minutes=1))
    assert await agents_now(platform) == held

    done = await taken(platform, proposed, "complete", at=AT + timedelta(minutes=2))
    assert (done.locked_at, done.verified_at, done.completed_at) == tuple(
        AT + timedelta(minutes=minutes) for minutes in range(3)
    )
    assert (done.status, done.tx_hash, done.block_number, done.consensus_result) == ("completed", "0xabc", 2**40, VOTE)
    assert {status for status, _ in (await agents_now(platform)).values()} == {"completed"}
    await check_all(platform)


@pytest.mark.asyncio
async def test_a_deal_goes_no_other_way(platform: AsyncPlatform) -> None:
    for status, name in product(WAYS, STEPS):
        buyer, seller = await pair(platform)
        deal = await taken(platform, await new_deal(platform, buyer, seller), *WAYS[status])
        assert deal.status == status
        before = await agents_now(platform)
        wanted = LEGAL.get((status, name))
        if wanted is None:
            with pytest.raises(StateError) as refused:
                await taken(platform, deal, name)
            assert f"it is {status}" in str(refused.value)
            assert await agents_now(platform) == before
        else:
            assert (await taken(platform, deal, name)).status == wanted
    await check_all(platform)


@pytest.mark.asyncio
async def test_agents_of_a_failed_deal_are_free_for_another(platform: AsyncPlatform) -> None:
    buyer, seller = await pair(platform)
    first, second = await new_deal(platform, buyer, seller, 10), await new_deal(platform, buyer, seller, 11)
    await taken(platform, first, "lock", "verify")
    with pytest.raises(AgentBusyError):
        await taken(platform, second, "lock")
    await taken(platform, first, "fail")
    assert await agents_now(platform) == {buyer.id: ("active", None), seller.id: ("active", None)}
    assert (await taken(platform, second, "lock")).status == "locked"
    await check_all(platform)


@pytest.mark.asyncio
async def test_what_is_achieved_is_counted_of_both(platform: AsyncPlatform) -> None:
    buyer, seller = await pair(platform)
    for ending in ("fail", "fail", "complete"):
        deal = await new_deal(platform, buyer, seller)
        ended = deal.created_at + timedelta(seconds=90, milliseconds=600)
        await taken(platform, deal, "lock", "verify", ending, at=ended)
    async with platform.postgres.session() as session:
        of_both = (await session.scalars(sa.select(AgentPerformance))).all()
    assert {row.agent_id for row in of_both} == {buyer.id, seller.id}
    for row in of_both:
        assert (row.deals_completed, row.success_rate, row.avg_negotiation_time) == (1, Decimal("33.33"), 91)
        assert (row.total_messages, row.last_active_at) == (0, ended)

    async with platform.postgres.session(user_id=seller.user_id) as session:
        again = await bring_back(session, seller.id, nft_id=await new_nft(platform))
        assert (again.status, again.deal_id) == ("active", None)
    async with platform.postgres.session(user_id=buyer.user_id) as session:
        await bring_back(session, buyer.id)
    deal = await new_deal(platform, buyer, seller)
    await taken(platform, deal, "lock", "verify", "complete", at=deal.created_at + timedelta(seconds=30))
    async with platform.postgres.session() as session:
        rows = await session.execute(
            sa.select(
                AgentPerformance.deals_completed, AgentPerformance.success_rate, AgentPerformance.avg_negotiation_time
            )
        )
        # (90.6 + 30) / 2 is 60.3
        assert {tuple(row) for row in rows} == {(2, Decimal("50.00"), 60)}


@pytest.mark.asyncio
async def test_a_deal_is_of_its_two_users_and_of_nobody_else(platform: AsyncPlatform) -> None:
    buyer, seller = await pair(platform)
    deal = await new_deal(platform, buyer, seller)
    for stranger in (await new_user(platform), None):
        async with platform.postgres.session(user_id=stranger) as session:
            for name in STEPS:
                with pytest.raises(NotFoundError):
                    await step(session, name, deal)
            with pytest.raises(NotFoundError):
                await agents_of_deal(session, deal.id)
            with pytest.raises(NotFoundError):
                await propose(session, buyer_agent_id=buyer.id, seller_agent_id=seller.id, final_price=Decimal(1))
    async with platform.postgres.session(user_id=seller.user_id) as session:
        with pytest.raises(NotFoundError):
            await lock(session, uuid4(), at=AT)
        mine_and_theirs = await agents_of_deal(session, deal.id)
        assert [(one.agent_id, one.role) for one in mine_and_theirs] == [(buyer.id, "buyer"), (seller.id, "seller")]
        assert not {"min_price", "max_price", "strategy"} & set(vars(mine_and_theirs[0]))


@pytest.mark.asyncio
async def test_what_cannot_be_proposed(platform: AsyncPlatform) -> None:
    room = await new_room(platform)
    buyer = await new_agent(platform, room, "buyer", 8, max_price=Decimal(20))
    seller = await new_agent(platform, room, "seller", 12, min_price=Decimal(9))
    empty_handed = await new_agent(platform, room, "seller", nft_id=None)
    elsewhere = await new_agent(platform, await new_room(platform), "seller")
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
        async with platform.postgres.session(user_id=buyer.user_id) as session:
            with pytest.raises(error):
                await propose(session, buyer_agent_id=buyer.id, seller_agent_id=one.id, final_price=Decimal(price))
    for price in ("9", "20"):
        assert (await new_deal(platform, buyer, seller, Decimal(price))).final_price == Decimal(price)


@pytest.mark.asyncio
async def test_limits_that_have_moved_since_the_proposal_hold_when_it_is_locked(platform: AsyncPlatform) -> None:
    room = await new_room(platform)
    buyer = await new_agent(platform, room, "buyer", max_price=Decimal(12))
    seller = await new_agent(platform, room, "seller", min_price=Decimal(8))
    deal = await new_deal(platform, buyer, seller)
    for agent, limits in ((seller, {"min_price": Decimal("10.01")}), (buyer, {"max_price": Decimal("9.99")})):
        async with platform.postgres.session(user_id=agent.user_id) as session:
            starting = Decimal(11) if agent is seller else Decimal(9)
            await reprice(session, agent.id, starting_price=starting, **limits)
        with pytest.raises(PriceError):
            await taken(platform, deal, "lock")
        async with platform.postgres.session(user_id=agent.user_id) as session:
            await reprice(session, agent.id, starting_price=Decimal(10))
    assert (await taken(platform, deal, "lock")).status == "locked"
    await check_all(platform)


async def test_nothing_begins_in_a_paused_room_and_what_is_under_way_ends(platform: AsyncPlatform) -> None:
    room = await new_room(platform)
    first = [await new_agent(platform, room, role) for role in ("buyer", "seller")]
    second = [await new_agent(platform, room, role) for role in ("buyer", "seller")]
    under_way = await taken(platform, await new_deal(platform, first[0], first[1]), "lock")
    pending = await new_deal(platform, second[0], second[1])
    async with platform.postgres.session() as session:
        await move_room(session, room.id, "paused")
    with pytest.raises(RoomNotOpenError):
        await taken(platform, pending, "lock")
    with pytest.raises(RoomNotOpenError):
        await new_deal(platform, second[0], second[1])
    assert (await taken(platform, under_way, "verify", "complete")).status == "completed"


@pytest.mark.asyncio
async def test_an_agent_that_negotiates_may_be_locked_and_one_that_is_through_may_not(platform: AsyncPlatform) -> None:
    buyer, seller = await pair(platform)
    late = await new_deal(platform, buyer, seller)
    async with platform.postgres.session(user_id=buyer.user_id) as session:
        assert (await negotiate(session, buyer.id)).status == "negotiating"
    await taken(platform, await new_deal(platform, buyer, seller), "lock", "verify", "complete")
    with pytest.raises(AgentBusyError):
        await taken(platform, late, "lock")
    with pytest.raises(AgentBusyError):
        await new_deal(platform, buyer, seller)
