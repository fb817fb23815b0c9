"""Lending positions, as they were at a moment."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.defi.entities.base import LIST, NEW_ID, NOW, OBJECT, TIME, Base
from storekeeper.domains.defi.entities.users import User
from storekeeper.domains.defi.shapes import Holding, PositionMeta


class Position(Base):
    """A snapshot of one wallet in one protocol on one chain; `health_factor` is NULL where there is no debt."""

    __tablename__ = "positions"
    __table_args__ = (
        sa.Index("ix_positions_user_snapshot", "user_id", sa.text("snapshot_at DESC")),
        sa.Index("ix_positions_wallet_protocol", "wallet_address", "protocol"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    wallet_address: Mapped[str] = mapped_column(sa.String(42))
    protocol: Mapped[str] = mapped_column(sa.String(50))
    chain_id: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("1"))
    health_factor: Mapped[Decimal | None] = mapped_column(sa.Numeric(18, 8))
    collateral: Mapped[list[Holding]] = mapped_column(TypedJson(list[Holding]), server_default=LIST)
    debt: Mapped[list[Holding]] = mapped_column(TypedJson(list[Holding]), server_default=LIST)
    meta: Mapped[PositionMeta] = mapped_column("metadata", TypedJson(PositionMeta), server_default=OBJECT)
    snapshot_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="positions", lazy="raise")
