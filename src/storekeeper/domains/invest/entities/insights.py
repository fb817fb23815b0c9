"""What models tell of symbols, markets and portfolios."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.invest.entities.base import NEW_ID, NOW, TIME, Base
from storekeeper.domains.invest.entities.users import User


class AiInsight(Base):
    """A model's finding, for one user or for all; `confidence` in percent. Kept for 30 days, or until it expires.

    The column `metadata` is the attribute `meta`: the plain name is SQLAlchemy's.
    """

    __tablename__ = "ai_insights"
    __table_args__ = (
        sa.CheckConstraint(
            "insight_type IN ('bullish','bearish','neutral','market','portfolio')", name="check_insight_type"
        ),
        sa.CheckConstraint("confidence >= 0 AND confidence <= 100", name="check_confidence"),
        sa.Index("idx_ai_insights_user_id", "user_id"),
        sa.Index("idx_ai_insights_symbol", "symbol"),
        sa.Index("idx_ai_insights_type", "insight_type"),
        sa.Index("idx_ai_insights_created", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(User.id, ondelete="SET NULL"))
    insight_type: Mapped[str] = mapped_column(sa.String(20))
    symbol: Mapped[str | None] = mapped_column(sa.String(32))
    title: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str] = mapped_column(sa.Text)
    confidence: Mapped[Decimal] = mapped_column(sa.Numeric(5, 2))
    recommendation: Mapped[str | None] = mapped_column(sa.String(20))
    target_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(18, 6))
    time_horizon: Mapped[str | None] = mapped_column(sa.String(20))
    is_actionable: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.false())
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=sa.text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(TIME)

    user: Mapped[User | None] = relationship(back_populates="insights", lazy="raise")
