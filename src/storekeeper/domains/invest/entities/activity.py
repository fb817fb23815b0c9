"""What users did."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.invest.entities.base import NOW, TIME, Base
from storekeeper.domains.invest.entities.users import User


class UserActivity(Base):
    """One thing that somebody did, kept for 90 days; without its user once that account is gone.

    Stored by month of `created_at`.
    """

    __tablename__ = "user_activity_log"
    __table_args__ = (
        sa.Index("idx_activity_log_user_id", "user_id"),
        sa.Index("idx_activity_log_type", "activity_type"),
        sa.Index("idx_activity_log_created", "created_at"),
        sa.Index("idx_activity_log_user_created", "user_id", "created_at", "id"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(User.id, ondelete="SET NULL"))
    activity_type: Mapped[str] = mapped_column(sa.String(50))
    resource_type: Mapped[str | None] = mapped_column(sa.String(50))
    resource_id: Mapped[str | None] = mapped_column(sa.String(100))
    details: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    ip_address: Mapped[str | None] = mapped_column(sa.String(45))
    user_agent: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(TIME, primary_key=True, server_default=NOW)

    user: Mapped[User | None] = relationship(back_populates="activities", lazy="raise")
