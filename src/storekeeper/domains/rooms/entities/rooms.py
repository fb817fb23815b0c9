"""Rooms, and the NFTs that are traded in them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.rooms.entities.base import NEW_ID, NOW, PRICE, TIME, Base, one_of

if TYPE_CHECKING:
    from storekeeper.domains.rooms.entities.agents import Agent
    from storekeeper.domains.rooms.entities.deals import Deal
    from storekeeper.domains.rooms.entities.messages import Message
    from storekeeper.domains.rooms.entities.swarms import Swarm


class Nft(Base):
    """One token of a collection. The column `metadata` is the attribute `meta`: the plain name is SQLAlchemy's."""

    __tablename__ = "nfts"
    __table_args__ = (
        sa.UniqueConstraint("collection", "token_id", name="uq_nfts_collection_token"),
        sa.Index("ix_nfts_collection", "collection"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    collection: Mapped[str] = mapped_column(sa.String(255))
    token_id: Mapped[str] = mapped_column(sa.String(255))
    name: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str | None] = mapped_column(sa.Text)
    image_url: Mapped[str | None] = mapped_column(sa.String(2083))
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    agents: Mapped[list[Agent]] = relationship(back_populates="nft", passive_deletes="all", lazy="raise")
    deals: Mapped[list[Deal]] = relationship(back_populates="nft", passive_deletes="all", lazy="raise")


class Room(Base):
    """Where agents meet over one collection.

    `floor_price` and `top_bid` are the server's: the lowest starting price of the active sellers, the highest of the
    active buyers. A trigger of agents keeps them, whoever writes.
    """

    __tablename__ = "rooms"
    __table_args__ = (
        one_of("rooms", "status", "active", "paused", "closed"),
        sa.Index("ix_rooms_collection", "collection"),
        sa.Index("ix_rooms_status", "status"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(255))
    collection: Mapped[str] = mapped_column(sa.String(255))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    # a service may not even say NULL here: what the server fetches, an INSERT of the ORM leaves out
    floor_price: Mapped[Decimal | None] = mapped_column(PRICE, sa.FetchedValue())
    top_bid: Mapped[Decimal | None] = mapped_column(PRICE, sa.FetchedValue())
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    swarms: Mapped[list[Swarm]] = relationship(back_populates="room", passive_deletes="all", lazy="raise")
    agents: Mapped[list[Agent]] = relationship(back_populates="room", passive_deletes="all", lazy="raise")
    deals: Mapped[list[Deal]] = relationship(back_populates="room", passive_deletes="all", lazy="raise")
    messages: Mapped[list[Message]] = relationship(back_populates="room", passive_deletes="all", lazy="raise")
