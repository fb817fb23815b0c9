"""What users look for, and the deals that serve it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.deals.entities.base import CATEGORIES, NEW_ID, NOW, TIME, Base, one_of
from storekeeper.domains.deals.entities.deals import Deal
from storekeeper.domains.deals.entities.users import User
from storekeeper.domains.deals.shapes import Constraints

if TYPE_CHECKING:
    from storekeeper.domains.deals.entities.messages import ChatMessage, Notification
    from storekeeper.domains.deals.entities.tokens import TokenTransaction


class Goal(Base):
    """What a user looks for, and how much money and how many tokens it may cost."""

    __tablename__ = "goals"
    __table_args__ = (
        one_of("goals", "category", *CATEGORIES),
        one_of("goals", "status", "active", "paused", "completed", "cancelled", "failed", "expired", "error"),
        one_of("goals", "priority", "high", "medium", "low"),
        sa.Index("ix_goals_user_status", "user_id", "status"),
        sa.Index("ix_goals_status", "status"),
        sa.Index("ix_goals_category", "category"),
        sa.Index("ix_goals_priority", "priority"),
        sa.Index("ix_goals_priority_rank", "priority_rank"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str | None] = mapped_column(sa.Text)
    category: Mapped[str] = mapped_column(sa.String(50))
    constraints: Mapped[Constraints] = mapped_column(TypedJson(Constraints), server_default=sa.text("'{}'"))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    priority: Mapped[str] = mapped_column(sa.String(50), server_default="medium")
    priority_rank: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("5"))
    progress_metrics: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    start_date: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    end_date: Mapped[datetime | None] = mapped_column(TIME)
    completion_date: Mapped[datetime | None] = mapped_column(TIME)
    max_budget: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    min_discount_percent: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    target_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    notification_threshold: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    auto_buy_threshold: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    max_matches: Mapped[int | None] = mapped_column(sa.Integer)
    max_tokens: Mapped[Decimal | None] = mapped_column(sa.Numeric(18, 8))
    total_tokens_spent: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8), server_default=sa.text("0"))
    total_matches_found: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    last_checked_at: Mapped[datetime | None] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    user: Mapped[User] = relationship(back_populates="goals", lazy="raise")
    matches: Mapped[list[GoalDeal]] = relationship(back_populates="goal", lazy="raise", passive_deletes="all")
    chat_messages: Mapped[list[ChatMessage]] = relationship(back_populates="goal", lazy="raise", passive_deletes="all")
    notifications: Mapped[list[Notification]] = relationship(back_populates="goal", lazy="raise", passive_deletes="all")
    token_transactions: Mapped[list[TokenTransaction]] = relationship(
        back_populates="goal", lazy="raise", passive_deletes="all"
    )


class GoalDeal(Base):
    """A deal that serves a goal; `relevance_score` is 0 to 100."""

    __tablename__ = "goal_deals"
    __table_args__ = (
        sa.Index("ix_goal_deals_deal", "deal_id"),
        sa.Index("ix_goal_deals_relevance", "relevance_score"),
    )

    goal_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Goal.id, ondelete="CASCADE"), primary_key=True)
    deal_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Deal.id, ondelete="CASCADE"), primary_key=True)
    relevance_score: Mapped[Decimal] = mapped_column(sa.Numeric(5, 2))
    matched_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")

    goal: Mapped[Goal] = relationship(back_populates="matches", lazy="raise")
    deal: Mapped[Deal] = relationship(back_populates="matches", lazy="raise")
