"""What was seen on the markets, and who was told of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.defi.entities.base import NEW_ID, NOW, OBJECT, TIME, Base, one_of
from storekeeper.domains.defi.entities.users import User
from storekeeper.domains.defi.shapes import SignalData


class Signal(Base):
    """Something that was seen of an asset; of no use any more from `expires_at` on, and deleted some time after it."""

    __tablename__ = "signals"
    __table_args__ = (
        one_of("signals", "severity", "low", "medium", "high", "critical"),
        one_of("signals", "status", "active", "expired", "acknowledged"),
        sa.Index("ix_signals_type_detected", "type", sa.text("detected_at DESC")),
        sa.Index("ix_signals_asset_status", "asset", "status"),
        sa.Index("ix_signals_status_detected", "status", sa.text("detected_at DESC")),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    type: Mapped[str] = mapped_column(sa.String(50))
    asset: Mapped[str] = mapped_column(sa.String(50))
    severity: Mapped[str] = mapped_column(sa.String(20))
    data: Mapped[SignalData] = mapped_column(TypedJson(SignalData), server_default=OBJECT)
    detected_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(TIME)
    status: Mapped[str] = mapped_column(sa.String(20), server_default="active")
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)

    alerts: Mapped[list[Alert]] = relationship(back_populates="signal", passive_deletes="all", lazy="raise")


class Alert(Base):
    """What a user is told on one channel. Its signal may be deleted before it: what matters of that is in `meta`."""

    __tablename__ = "alerts"
    __table_args__ = (
        one_of("alerts", "channel", "telegram", "email", "in_app"),
        one_of("alerts", "status", "pending", "sent", "failed", "acknowledged"),
        sa.Index("ix_alerts_user_status_created", "user_id", "status", sa.text("created_at DESC")),
        sa.Index("ix_alerts_status_created", "status", sa.text("created_at DESC")),
        sa.Index("ix_alerts_signal", "signal_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    signal_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Signal.id, ondelete="SET NULL"))
    type: Mapped[str] = mapped_column(sa.String(50))
    channel: Mapped[str] = mapped_column(sa.String(20))
    message: Mapped[str] = mapped_column(sa.Text)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=OBJECT)
    sent_at: Mapped[datetime | None] = mapped_column(TIME)
    acknowledged_at: Mapped[datetime | None] = mapped_column(TIME)
    status: Mapped[str] = mapped_column(sa.String(20), server_default="pending")
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)

    user: Mapped[User] = relationship(back_populates="alerts", lazy="raise")
    signal: Mapped[Signal | None] = relationship(back_populates="alerts", lazy="raise")
