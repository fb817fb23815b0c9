"""What is to be done for a user once a condition holds."""

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
from storekeeper.domains.defi.shapes import Condition, IntentAction


class Intent(Base):
    """What a user wants done by itself: "if the health factor falls below 1.2, repay 1000 USDT".

    active → triggered → executed or failed; from active also to cancelled or expired. No step is taken twice.
    """

    __tablename__ = "intents"
    __table_args__ = (
        one_of("intents", "status", "active", "triggered", "executed", "cancelled", "failed", "expired"),
        sa.Index("ix_intents_user_status", "user_id", "status"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    condition: Mapped[Condition] = mapped_column(TypedJson(Condition))
    action: Mapped[IntentAction] = mapped_column(TypedJson(IntentAction))
    status: Mapped[str] = mapped_column(sa.String(20), server_default="active")
    triggered_at: Mapped[datetime | None] = mapped_column(TIME)
    executed_at: Mapped[datetime | None] = mapped_column(TIME)
    expires_at: Mapped[datetime | None] = mapped_column(TIME)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=OBJECT)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="intents", lazy="raise")
