"""Users, known by their wallets."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.rooms.entities.base import NEW_ID, NOW, TIME, Base

if TYPE_CHECKING:
    from storekeeper.domains.rooms.entities.agents import Agent
    from storekeeper.domains.rooms.entities.deals import Deal
    from storekeeper.domains.rooms.entities.swarms import Swarm


class User(Base):
    """Who owns agents. `wallet_address` is an Ethereum address in lower case; `nonce` is what it signs next."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    wallet_address: Mapped[str] = mapped_column(sa.String(42), unique=True)
    nonce: Mapped[str] = mapped_column(sa.String(255))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    swarms: Mapped[list[Swarm]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    agents: Mapped[list[Agent]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    bought: Mapped[list[Deal]] = relationship(
        back_populates="buyer_user", foreign_keys="Deal.buyer_user_id", passive_deletes="all", lazy="raise"
    )
    sold: Mapped[list[Deal]] = relationship(
        back_populates="seller_user", foreign_keys="Deal.seller_user_id", passive_deletes="all", lazy="raise"
    )
