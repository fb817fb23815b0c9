"""Agents: who buys and sells for a user, and how well each has done."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.rooms.entities.base import NEW_ID, NOW, PRICE, TIME, Base, one_of
from storekeeper.domains.rooms.entities.rooms import Nft, Room
from storekeeper.domains.rooms.entities.swarms import Swarm
from storekeeper.domains.rooms.entities.users import User

if TYPE_CHECKING:
    from storekeeper.domains.rooms.entities.deals import Deal
    from storekeeper.domains.rooms.entities.messages import Message


class Agent(Base):
    """A buyer, or a seller of one NFT, in one room.

    `min_price` is the least that it accepts, `max_price` the most that it pays; neither is told to the other side.
    `status` and `deal_id` follow its deals; functions of the domain's owner write them.
    """

    __tablename__ = "agents"
    __table_args__ = (
        one_of("agents", "role", "buyer", "seller"),
        one_of("agents", "status", "active", "negotiating", "deal_locked", "completed"),
        one_of("agents", "strategy", "competitive", "patient", "aggressive", "conservative", "sniper"),
        one_of("agents", "communication_style", "formal", "casual", "professional", "aggressive"),
        sa.CheckConstraint("role = 'seller' OR nft_id IS NULL", name="nft_only_for_sellers"),
        sa.Index("ix_agents_user", "user_id"),
        sa.Index("ix_agents_room", "room_id"),
        sa.Index("ix_agents_status", "status"),
        sa.Index("ix_agents_role", "role"),
        sa.Index("ix_agents_room_status", "room_id", "status"),
        sa.Index("ix_agents_deal", "deal_id"),
        sa.Index("ix_agents_swarm", "swarm_id"),
        sa.Index("ix_agents_nft", "nft_id"),
        sa.Index("uq_agents_listed_nft", "nft_id", unique=True, postgresql_where=sa.text("status <> 'completed'")),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="RESTRICT"))
    room_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Room.id, ondelete="CASCADE"))
    nft_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Nft.id, ondelete="RESTRICT"))
    swarm_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Swarm.id, ondelete="SET NULL"))
    # agents and deals refer to each other, so this key is added once both are there; the value is the server's to give
    deal_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("rooms.deals.id", name="fk_agents_deal", ondelete="SET NULL", use_alter=True), sa.FetchedValue()
    )
    name: Mapped[str] = mapped_column(sa.String(255))
    avatar: Mapped[str | None] = mapped_column(sa.String(255))
    role: Mapped[str] = mapped_column(sa.String(50))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    strategy: Mapped[str] = mapped_column(sa.String(50))
    communication_style: Mapped[str] = mapped_column(sa.String(50))
    min_price: Mapped[Decimal | None] = mapped_column(PRICE)
    max_price: Mapped[Decimal | None] = mapped_column(PRICE)
    starting_price: Mapped[Decimal] = mapped_column(PRICE)
    messages_sent: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="agents", lazy="raise")
    room: Mapped[Room] = relationship(back_populates="agents", lazy="raise")
    nft: Mapped[Nft | None] = relationship(back_populates="agents", lazy="raise")
    swarm: Mapped[Swarm | None] = relationship(back_populates="agents", lazy="raise")
    #: The deal it is held by; post_update, since that deal refers to the agent
    deal: Mapped[Deal | None] = relationship(
        back_populates="held_agents", foreign_keys=[deal_id], post_update=True, lazy="raise"
    )
    bought: Mapped[list[Deal]] = relationship(
        back_populates="buyer_agent", foreign_keys="Deal.buyer_agent_id", passive_deletes="all", lazy="raise"
    )
    sold: Mapped[list[Deal]] = relationship(
        back_populates="seller_agent", foreign_keys="Deal.seller_agent_id", passive_deletes="all", lazy="raise"
    )
    messages: Mapped[list[Message]] = relationship(back_populates="agent", passive_deletes="all", lazy="raise")
    performance: Mapped[AgentPerformance | None] = relationship(
        back_populates="agent", passive_deletes="all", lazy="raise"
    )


class AgentPerformance(Base):
    """What an agent has achieved: `success_rate` in percent of its ended deals, `avg_negotiation_time` in seconds."""

    __tablename__ = "agent_performance"
    __table_args__ = (
        sa.CheckConstraint("success_rate >= 0 AND success_rate <= 100", name="agent_performance_success_rate_check"),
        sa.Index("ix_agent_performance_ranking", "deals_completed", "agent_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    agent_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Agent.id, ondelete="CASCADE"), unique=True)
    deals_completed: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    avg_negotiation_time: Mapped[int | None] = mapped_column(sa.Integer)
    success_rate: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    total_messages: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    last_active_at: Mapped[datetime | None] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    agent: Mapped[Agent] = relationship(back_populates="performance", lazy="raise")
