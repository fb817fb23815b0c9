"""What agents say, in summary."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.rooms.entities.agents import Agent
from storekeeper.domains.rooms.entities.base import NEW_ID, NOW, PRICE, TIME, Base, one_of
from storekeeper.domains.rooms.entities.rooms import Room


class Message(Base):
    """The kind, the price and the mood of something an agent said; never its text."""

    __tablename__ = "messages"
    __table_args__ = (
        one_of("messages", "message_type", "offer", "counter", "accept", "reject", "comment"),
        one_of("messages", "sentiment", "positive", "negative", "neutral"),
        sa.Index("ix_messages_room", "room_id"),
        sa.Index("ix_messages_agent", "agent_id"),
        sa.Index("ix_messages_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    room_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Room.id, ondelete="CASCADE"))
    agent_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Agent.id))
    message_type: Mapped[str] = mapped_column(sa.String(50))
    price_mentioned: Mapped[Decimal | None] = mapped_column(PRICE)
    sentiment: Mapped[str] = mapped_column(sa.String(20))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)

    room: Mapped[Room] = relationship(back_populates="messages", lazy="raise")
    agent: Mapped[Agent] = relationship(back_populates="messages", lazy="raise")
