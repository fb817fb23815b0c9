"""Many at once: each agent in one deal, each NFT listed once, each nonce used once, every price as recounted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

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
from storekeeper import AsyncPlatform, InputError, NotFoundError
from storekeeper.domains.rooms.entities import Agent, Deal, Room, User
from storekeeper.domains.rooms.errors import AgentBusyError, NonceError, StateError
from storekeeper.domains.rooms.operations.dealing_async import lock
from storekeeper.domains.rooms.operations.signing_in_async import nonce_of, sign_in
from storekeeper.domains.rooms.operations.statistics_async import RoomStatistics, room_statistics
from storekeeper.domains.rooms.operations.talking_async import record_message
from storekeeper.errors import UniqueError

WALLET = "0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D"


@pytest.fixture
async def platform(migrated_url: str) -> AsyncIterator[AsyncPlatform]:
    async with rooms_platform(migrated_url) as opened:
        yield opened


async def statistics(platform: AsyncPlatform, room: Room) -> RoomStatistics:
    await check_all(platform)
    async with platform.postgres.session() as session:
        return await room_statistics(session, room.id)


@pytest.mark.asyncio
async def test_fifty_locks_at_once_over_the_same_agents(platform: AsyncPlatform) -> None:
    room = await new_room(platform)
    buyers = [await new_agent(platform, room, "buyer", 10 + number) for number in range(4)]
    sellers = [await new_agent(platform, room, "seller", 20 + number) for number in range(4)]
    deals = [await new_deal(platform, buyer, seller) for buyer in buyers for seller in sellers]
    assert len(deals) == 16

    async def try_to_lock(deal: Deal) -> bool:
        async def locking(session: AsyncSession) -> bool:
            try:
                await lock(session, deal.id, at=AT)
            except (AgentBusyError, StateError):
                return False
            return True

        return await platform.postgres.perform(locking, user_id=deal.buyer_user_id)

    locked = await asyncio.gather(*(try_to_lock(deals[number * 7 % 16]) for number in range(50)))
    await check_all(platform)
    statuses = [status for status, _ in (await agents_now(platform)).values()]
    assert statuses.count("deal_locked") == 2 * sum(locked)
    # as long as a buyer and a seller are free, so is the deal between them
    assert sum(locked) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_prices_are_right_after_agents_placed_and_gone_at_once(platform: AsyncPlatform, isolation: str) -> None:
    room = await new_room(platform)
    agents = [await new_agent(platform, room, "seller", 10 + number, nft_id=None) for number in range(8)]

    async def cheaper(agent: Agent, price: int) -> None:
        async def changed(session: AsyncSession) -> None:
            # not by the operation: whoever writes the row is counted
            await session.execute(sa.update(Agent).where(Agent.id == agent.id).values(starting_price=price))

        await platform.postgres.perform(changed, isolation=isolation, retries=30)  # type: ignore[arg-type]  # one of three

    async def gone(agent: Agent) -> None:
        async def removed(session: AsyncSession) -> None:
            await session.execute(sa.delete(Agent).where(Agent.id == agent.id))

        await platform.postgres.perform(removed, isolation=isolation, retries=30)  # type: ignore[arg-type]  # one of three

    tasks = [cheaper(agent, 9 - number) for number, agent in enumerate(agents)]
    tasks += [gone(agent) for agent in agents[4:]]
    placed = [new_agent(platform, room, "buyer", 3 + number) for number in range(4)]
    await asyncio.gather(*tasks, *placed)
    found = await statistics(platform, room)
    assert found == RoomStatistics(4, 4, Decimal(6), Decimal(6))


@pytest.mark.asyncio
async def test_an_nft_is_listed_by_one_agent_at_a_time(platform: AsyncPlatform) -> None:
    room, other = await new_room(platform), await new_room(platform)
    nft_id = await new_nft(platform)
    refused: set[str] = set()

    async def listed(where: Room) -> bool:
        try:
            await new_agent(platform, where, "seller", nft_id=nft_id)
        except UniqueError as error:
            refused.add(error.constraint)
            return False
        return True

    assert sum(await asyncio.gather(*(listed((room, other)[number % 2]) for number in range(10)))) == 1
    assert refused == {"uq_agents_listed_nft"}
    await check_all(platform)


@pytest.mark.asyncio
async def test_messages_are_counted_each_once(platform: AsyncPlatform) -> None:
    agent = await new_agent(platform, await new_room(platform), "buyer")

    async def said(number: int) -> None:
        async with platform.postgres.session(user_id=agent.user_id) as session:
            message = await record_message(
                session,
                agent.id,
                message_type="offer",
                sentiment="positive",
                price_mentioned=Decimal(number + 1),
                at=AT,
            )
            assert (message.room_id, message.price_mentioned) == (agent.room_id, Decimal(number + 1))

    await asyncio.gather(*(said(number) for number in range(20)))
    async with platform.postgres.session() as session:
        counted = sa.text(
            "SELECT a.messages_sent, p.total_messages, p.last_active_at, (SELECT count(*) FROM rooms.messages) "
            "FROM rooms.agents a JOIN rooms.agent_performance p ON p.agent_id = a.id"
        )
        assert (await session.execute(counted)).all() == [(20, 20, AT, 20)]
    async with platform.postgres.session(user_id=await new_user(platform)) as session:
        with pytest.raises(NotFoundError):
            await record_message(session, agent.id, message_type="comment", sentiment="neutral", at=AT)
        with pytest.raises(InputError):
            await record_message(
                session, agent.id, message_type="comment", sentiment="neutral", at=AT.replace(tzinfo=None)
            )


@pytest.mark.asyncio
async def test_a_nonce_is_used_once_by_whoever_comes_first(platform: AsyncPlatform) -> None:
    async def asked() -> str:
        async with platform.postgres.session() as session:
            return await nonce_of(session, WALLET)

    async def signed_in(nonce: str) -> str:
        try:
            async with platform.postgres.session() as session:
                return str(await sign_in(session, WALLET.lower(), nonce))
        except NonceError:
            return "refused"

    (nonce,) = set(await asyncio.gather(*(asked() for _ in range(20))))
    assert len(nonce) >= 32
    answers = await asyncio.gather(*(signed_in(nonce) for _ in range(20)))
    assert answers.count("refused") == 19
    following = await asked()
    assert following != nonce
    assert await signed_in(nonce) == "refused"
    (user_id,) = set(answers) - {"refused"}
    assert await signed_in(following) == user_id
    async with platform.postgres.session() as session:
        assert (await session.scalars(sa.select(User.wallet_address))).all() == [WALLET.lower()]


@pytest.mark.asyncio
async def test_what_is_no_wallet(platform: AsyncPlatform) -> None:
    async with platform.postgres.session() as session:
        for wallet in ("", "0x", "0x" + "g" * 40, "0x" + "a" * 41, "a" * 42):
            with pytest.raises(InputError):
                await nonce_of(session, wallet)
            with pytest.raises(InputError):
                await sign_in(session, wallet, "x")
