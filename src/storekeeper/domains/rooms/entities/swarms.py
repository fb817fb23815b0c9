"""Swarms: agents that a user placed together."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.rooms.entities.base import NEW_ID, NOW, TIME, Base, one_of
from storekeeper.domains.rooms.entities.rooms import Room
from storekeeper.domains.rooms.entities.users import User

if TYPE_CHECKING:
    from storekeeper.domains.rooms.entities.agents import Agent


class Swarm(Base):
    """Many agents of one user in one room, mixed as a preset says."""

    __tablename__ = "swarms"
    __table_args__ = (
        one_of("swarms", "preset", "small_test", "balanced_market", "high_competition", "buyers_market"),
        one_of("swarms", "status", "running", "paused", "completed"),
        sa.Index("ix_swarms_user", "user_id"),
        sa.Index("ix_swarms_room", "room_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="RESTRICT"))
    room_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Room.id, ondelete="CASCADE"))
    preset: Mapped[str] = mapped_column(sa.String(50))
    total_agents: Mapped[int] = mapped_column(sa.Integer)
    status: Mapped[str] = mapped_column(sa.String(50), server_default="running")
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    completed_at: Mapped[datetime | None] = mapped_column(TIME)

    user: Mapped[User] = relationship(back_populates="swarms", lazy="raise")
    room: Mapped[Room] = relationship(back_populates="swarms", lazy="raise")
    agents: Mapped[list[Agent]] = relationship(back_populates="swarm", passive_deletes="all", lazy="raise")
