"""Requests for an analysis, the models that answer them, and their prompts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.deals.entities.base import NEW_ID, NOW, TIME, Base, one_of
from storekeeper.domains.deals.entities.deals import Deal
from storekeeper.domains.deals.entities.users import User
from storekeeper.domains.deals.shapes import Analysis


class AnalysisRequest(Base):
    """A user's request to have a deal, or the page at a URL, analysed."""

    __tablename__ = "ai_analysis_requests"
    __table_args__ = (
        one_of("ai_analysis_requests", "status", "pending", "processing", "completed", "failed"),
        sa.Index("ix_ai_requests_user", "user_id"),
        sa.Index("ix_ai_requests_deal", "deal_id"),
        sa.Index("ix_ai_requests_status", "status"),
        sa.Index("ix_ai_requests_requested_at", "requested_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    deal_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Deal.id, ondelete="SET NULL"))
    url: Mapped[str | None] = mapped_column(sa.Text)
    product_name: Mapped[str | None] = mapped_column(sa.Text)
    status: Mapped[str] = mapped_column(sa.String(50), server_default="pending")
    requested_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    completed_at: Mapped[datetime | None] = mapped_column(TIME)
    tokens_charged: Mapped[int | None] = mapped_column(sa.Integer)
    model_used: Mapped[str | None] = mapped_column(sa.String(100))
    result: Mapped[Analysis | None] = mapped_column(TypedJson(Analysis))
    error_message: Mapped[str | None] = mapped_column(sa.Text)

    user: Mapped[User] = relationship(back_populates="analysis_requests", lazy="raise")
    deal: Mapped[Deal | None] = relationship(back_populates="analysis_requests", lazy="raise")


class AiModel(Base):
    """A model that answers; a fallback stands in for others."""

    __tablename__ = "ai_models"
    __table_args__ = (
        sa.Index("ix_ai_models_active", "is_active"),
        sa.Index("ix_ai_models_provider", "provider"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    provider: Mapped[str] = mapped_column(sa.String(100))
    version: Mapped[str] = mapped_column(sa.String(100))
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    is_fallback: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.false())
    token_cost_per_1k: Mapped[Decimal] = mapped_column(sa.Numeric(10, 6))
    max_tokens: Mapped[int] = mapped_column(sa.Integer)
    capabilities: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())


class PromptTemplate(Base):
    """A text that models are asked with."""

    __tablename__ = "ai_prompt_templates"
    __table_args__ = (
        sa.Index("ix_prompt_templates_active", "is_active"),
        sa.Index("ix_prompt_templates_usage_type", "usage_type"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    template_text: Mapped[str] = mapped_column(sa.Text)
    description: Mapped[str | None] = mapped_column(sa.Text)
    version: Mapped[str] = mapped_column(sa.String(50))
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    usage_type: Mapped[str] = mapped_column(sa.String(100))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
