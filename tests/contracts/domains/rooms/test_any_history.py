"""Whatever is done in whatever order, agents, deals, prices and achievements are what a plain model says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy.orm import Session

from rooms_domain import AT, check_all, new_agent, new_nft, new_room, rooms_platform
from storekeeper import Platform
from storekeeper.domains.rooms.entities import Agent, AgentPerformance, Deal, Room
from storekeeper.domains.rooms.errors import AgentBusyError, StateError
from storekeeper.domains.rooms.operations.dealing import complete, fail, lock, propose, verify
from storekeeper.domains.rooms.operations.placing import reprice
from storekeeper.domains.rooms.operations.statistics import (
    agents_by_status,
    deals_by_status,
    ranking,
    room_statistics,
)
from storekeeper.domains.rooms.operations.talking import bring_back, negotiate, record_message, stop_negotiating
from storekeeper.domains.rooms.shapes import Consensus

AGENTS = range(5)
NEXT = {
    "lock": ("pending", "locked"),
    "verify": ("locked", "verifying"),
    "complete": ("verifying", "completed"),
}


@dataclass
class ModelAgent:
    """What is known of an agent."""

    role: str
    price: Decimal
    status: str = "active"
    lists: bool = True
    messages: int = 0
    seconds: list[int] = field(default_factory=list)
    failed: int = 0


@dataclass
class ModelDeal:
    """What is known of a deal."""

    buyer: int
    seller: int
    listing: int
    status: str = "pending"


#: An operation: its name, and numbers that choose what it is about.
OPERATIONS = st.tuples(
    st.sampled_from(
        (
            *("propose", "propose", "lock", "lock", "verify", "complete", "fail"),
            *("negotiate", "stop", "back", "message", "reprice"),
        )
    ),
    st.integers(0, 9),
    st.integers(0, 9),
)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with rooms_platform(migrated_url) as opened:
        yield opened


class History:
    """A room with five agents, and what a model says of it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.room: Room = new_room(platform)
        self.models = [ModelAgent("buyer" if n < 2 else "seller", Decimal(10 + n)) for n in AGENTS]
        self.agents: list[Agent] = [new_agent(platform, self.room, m.role, m.price) for m in self.models]
        self.listings = [0 for _ in AGENTS]
        self.deals: list[tuple[UUID, ModelDeal, datetime]] = []

    def do(self, name: str, first: int, second: int) -> None:
        """Does an operation, and has it refused where the model says so."""
        if name == "propose":
            self.propose(first % 2, 2 + second % 3)
        elif name in ("lock", "verify", "complete", "fail"):
            if self.deals:
                self.move(name, first * 10 + second)
        else:
            self.tell(name, first % len(AGENTS), second)

    def propose(self, buyer: int, seller: int) -> None:
        both = (self.models[buyer], self.models[seller])
        free = all(one.status in ("active", "negotiating") for one in both)

        def proposed(session: Session) -> Deal:
            return propose(
                session,
                buyer_agent_id=self.agents[buyer].id,
                seller_agent_id=self.agents[seller].id,
                final_price=Decimal(10),
            )

        if not free:
            with pytest.raises(AgentBusyError):
                self.platform.postgres.perform(proposed, user_id=self.agents[buyer].user_id)
            return
        deal = self.platform.postgres.perform(proposed, user_id=self.agents[buyer].user_id)
        self.deals.append((deal.id, ModelDeal(buyer, seller, self.listings[seller]), deal.created_at))

    def move(self, name: str, number: int) -> None:
        deal_id, deal, since = self.deals[number % len(self.deals)]
        both = (self.models[deal.buyer], self.models[deal.seller])
        at = since + timedelta(seconds=number)

        def moved(session: Session) -> Deal:
            if name == "lock":
                return lock(session, deal_id, at=at)
            if name == "verify":
                return verify(session, deal_id, Consensus(nodes=number), at=at)
            if name == "complete":
                return complete(session, deal_id, tx_hash="0x", block_number=number, at=at)
            return fail(session, deal_id, at=at)

        user_id = self.agents[deal.seller].user_id
        error: type[Exception] | None = None
        if name == "fail":
            error = StateError if deal.status in ("completed", "failed") else None
        elif deal.status != NEXT[name][0]:
            error = StateError
        elif name == "lock" and (
            any(one.status not in ("active", "negotiating") for one in both)
            or deal.listing != self.listings[deal.seller]
        ):
            error = AgentBusyError
        if error is not None:
            with pytest.raises(error):
                self.platform.postgres.perform(moved, user_id=user_id)
            return
        self.platform.postgres.perform(moved, user_id=user_id)
        held = deal.status in ("locked", "verifying")
        deal.status = "failed" if name == "fail" else NEXT[name][1]
        for one in both:
            if name == "lock":
                one.status = "deal_locked"
            elif name == "complete":
                one.status = "completed"
                one.seconds.append(number)
            elif name == "fail":
                one.failed += 1
                one.status = "active" if held else one.status

    def tell(self, name: str, number: int, amount: int) -> None:
        model, agent = self.models[number], self.agents[number]
        wanted = {
            "negotiate": ("active", "negotiating"),
            "stop": ("negotiating", "active"),
            "back": ("completed", "active"),
        }
        back_to = new_nft(self.platform) if name == "back" and model.role == "seller" else None

        def told(session: Session) -> object:
            if name == "negotiate":
                return negotiate(session, agent.id)
            if name == "stop":
                return stop_negotiating(session, agent.id)
            if name == "back":
                return bring_back(session, agent.id, nft_id=back_to)
            if name == "message":
                return record_message(session, agent.id, message_type="comment", sentiment="neutral", at=AT)
            return reprice(session, agent.id, starting_price=Decimal(1 + amount))

        if name in wanted and model.status != wanted[name][0]:
            with pytest.raises(StateError):
                self.platform.postgres.perform(told, user_id=agent.user_id)
            return
        self.platform.postgres.perform(told, user_id=agent.user_id)
        if name == "message":
            model.messages += 1
        elif name == "reprice":
            model.price = Decimal(1 + amount)
        else:
            model.status = wanted[name][1]
            self.listings[number] += name == "back"

    def check(self) -> None:
        """The room, its agents and its deals are what the model says."""
        check_all(self.platform)
        with self.platform.postgres.session() as session:
            agents = session.scalars(sa.select(Agent).where(Agent.room_id == self.room.id)).all()
            by_id = {agent.id: agent for agent in agents}
            found = [by_id[agent.id] for agent in self.agents]
            assert [(one.status, one.messages_sent) for one in found] == [(m.status, m.messages) for m in self.models]
            active = [m for m in self.models if m.status == "active"]
            buying = [m.price for m in active if m.role == "buyer"]
            selling = [m.price for m in active if m.role == "seller"]
            counted = room_statistics(session, self.room.id)
            assert (counted.buyers, counted.sellers) == (len(buying), len(selling))
            assert (counted.floor_price, counted.top_bid) == (min(selling, default=None), max(buying, default=None))
            statuses = [m.status for m in self.models]
            assert agents_by_status(session, self.room.id) == {
                status: statuses.count(status) for status in ("active", "negotiating", "deal_locked", "completed")
            }
            of_deals = [deal.status for _, deal, _ in self.deals]
            assert deals_by_status(session, self.room.id) == {
                status: of_deals.count(status) for status in ("pending", "locked", "verifying", "completed", "failed")
            }
            ranked = ranking(session, self.room.id).items
            assert [rank.deals_completed for rank in ranked] == sorted(
                (rank.deals_completed for rank in ranked), reverse=True
            )
            achieved = {
                row.agent_id: row
                for row in session.scalars(
                    sa.select(AgentPerformance).where(AgentPerformance.agent_id.in_(list(by_id)))
                )
            }
        assert {rank.agent_id for rank in ranked} == set(achieved)
        for agent, model in zip(self.agents, self.models, strict=True):
            if not model.messages + len(model.seconds) + model.failed:
                assert agent.id not in achieved
                continue
            row, completed = achieved[agent.id], len(model.seconds)
            assert (row.deals_completed, row.total_messages) == (completed, model.messages)
            ended = completed + model.failed
            rate = Decimal(100 * completed) / ended if ended else None
            assert row.success_rate == (None if rate is None else rate.quantize(Decimal("0.01"), ROUND_HALF_UP))
            mean = Decimal(sum(model.seconds)) / completed if completed else None
            assert row.avg_negotiation_time == (None if mean is None else int(mean.quantize(Decimal(1), ROUND_HALF_UP)))


@given(operations=st.lists(OPERATIONS, min_size=10, max_size=40))
@settings(
    max_examples=settings().max_examples // 10,  # each is a room and up to forty transactions
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_history(platform: Platform, operations: list[tuple[str, int, int]]) -> None:
    history = History(platform)
    for name, first, second in operations:
        history.do(name, first, second)
    history.check()
