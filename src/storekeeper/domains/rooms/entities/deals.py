"""Deals: what a buyer and a seller came to."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.rooms.entities.agents import Agent
from storekeeper.domains.rooms.entities.base import NEW_ID, NOW, PRICE, TIME, Base, one_of
from storekeeper.domains.rooms.entities.rooms import Nft, Room
from storekeeper.domains.rooms.entities.users import User
from storekeeper.domains.rooms.shapes import Consensus


class Deal(Base):
    """One NFT for one price between two agents, and so between their users; functions of the owner move it."""

    __tablename__ = "deals"
    __table_args__ = (
        one_of("deals", "status", "pending", "locked", "verifying", "completed", "failed"),
        sa.Index("ix_deals_room", "room_id"),
        sa.Index("ix_deals_buyer_agent", "buyer_agent_id"),
        sa.Index("ix_deals_seller_agent", "seller_agent_id"),
        sa.Index("ix_deals_nft", "nft_id"),
        sa.Index("ix_deals_status", "status"),
        sa.Index("ix_deals_created_at", "created_at"),
        sa.Index("ix_deals_buyer_user", "buyer_user_id"),
        sa.Index("ix_deals_seller_user", "seller_user_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    room_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Room.id, ondelete="CASCADE"))
    buyer_agent_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Agent.id))
    seller_agent_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Agent.id))
    buyer_user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="RESTRICT"))
    seller_user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="RESTRICT"))
    nft_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Nft.id, ondelete="RESTRICT"))
    final_price: Mapped[Decimal] = mapped_column(PRICE)
    status: Mapped[str] = mapped_column(sa.String(50), server_default="pending")
    consensus_result: Mapped[Consensus | None] = mapped_column(TypedJson(Consensus))
    tx_hash: Mapped[str | None] = mapped_column(sa.String(255))
    block_number: Mapped[int | None] = mapped_column(sa.BigInteger)
    locked_at: Mapped[datetime | None] = mapped_column(TIME)
    verified_at: Mapped[datetime | None] = mapped_column(TIME)
    completed_at: Mapped[datetime | None] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    room: Mapped[Room] = relationship(back_populates="deals", lazy="raise")
    buyer_agent: Mapped[Agent] = relationship(back_populates="bought", foreign_keys=[buyer_agent_id], lazy="raise")
    seller_agent: Mapped[Agent] = relationship(back_populates="sold", foreign_keys=[seller_agent_id], lazy="raise")
    buyer_user: Mapped[User] = relationship(back_populates="bought", foreign_keys=[buyer_user_id], lazy="raise")
    seller_user: Mapped[User] = relationship(back_populates="sold", foreign_keys=[seller_user_id], lazy="raise")
    nft: Mapped[Nft] = relationship(back_populates="deals", lazy="raise")
    held_agents: Mapped[list[Agent]] = relationship(
        back_populates="deal", foreign_keys=[Agent.deal_id], passive_deletes="all", lazy="raise"
    )
