"""What there is to buy."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.deals.entities.base import CATEGORIES, NEW_ID, NOW, SOURCES, TIME, Base, one_of
from storekeeper.domains.deals.entities.markets import Category, Market, Source
from storekeeper.domains.deals.shapes import Analysis, ProductSpecs, ShippingInfo

if TYPE_CHECKING:
    from storekeeper.domains.deals.entities.analysis import AnalysisRequest
    from storekeeper.domains.deals.entities.goals import GoalDeal
    from storekeeper.domains.deals.entities.messages import Notification
    from storekeeper.domains.deals.entities.sharing import SavedDeal, SharedDeal, SocialInteraction


class Deal(Base):
    """An offer of a market. `category` and `source` are kinds; their rows are `filed_under` and `found_by`.

    A deal without an original price has no discount. Its price history is the series deals.price_tracking.
    """

    __tablename__ = "deals"
    __table_args__ = (
        one_of("deals", "category", *CATEGORIES),
        one_of("deals", "source", *SOURCES),
        one_of("deals", "status", "pending", "active", "expired", "sold_out", "invalid", "removed", "deleted"),
        sa.CheckConstraint(
            "current_price > 0 AND (original_price IS NULL OR original_price > 0)", name="positive_prices"
        ),
        sa.CheckConstraint(
            "discount_percent IS NULL OR (discount_percent >= 0 AND discount_percent <= 100)", name="valid_discount"
        ),
        sa.Index("ix_deals_market_status", "market_id", "status"),
        sa.Index("ix_deals_category", "category"),
        sa.Index("ix_deals_category_id", "category_id"),
        sa.Index("ix_deals_source", "source"),
        sa.Index("ix_deals_source_id", "source_id"),
        sa.Index("ix_deals_url", "url"),
        sa.Index("ix_deals_status", "status"),
        sa.Index("ix_deals_created_at", "created_at"),
        sa.Index("ix_deals_expires_at", "expires_at"),
        sa.Index("ix_deals_discount_percent", "discount_percent"),
        sa.Index("ix_deals_current_price", "current_price"),
        sa.Index("ix_deals_active_price", "category", "current_price", postgresql_where=sa.text("status = 'active'")),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    market_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Market.id, ondelete="CASCADE"))
    category_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Category.id))
    source_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Source.id))
    title: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str | None] = mapped_column(sa.Text)
    url: Mapped[str] = mapped_column(sa.Text)
    image_url: Mapped[str | None] = mapped_column(sa.Text)
    current_price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    original_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    currency: Mapped[str] = mapped_column(sa.String(3), server_default="USD")
    discount_percent: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    category: Mapped[str] = mapped_column(sa.String(50))
    source: Mapped[str] = mapped_column(sa.String(50))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    seller_name: Mapped[str | None] = mapped_column(sa.String(255))
    seller_rating: Mapped[Decimal | None] = mapped_column(sa.Numeric(3, 2))
    availability_status: Mapped[str | None] = mapped_column(sa.String(50))
    shipping_info: Mapped[ShippingInfo | None] = mapped_column(TypedJson(ShippingInfo))
    product_specs: Mapped[ProductSpecs | None] = mapped_column(TypedJson(ProductSpecs))
    ai_analysis: Mapped[Analysis | None] = mapped_column(TypedJson(Analysis))
    found_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(TIME)
    last_checked_at: Mapped[datetime | None] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    market: Mapped[Market] = relationship(back_populates="deals", lazy="raise")
    filed_under: Mapped[Category | None] = relationship(back_populates="deals", lazy="raise")
    found_by: Mapped[Source | None] = relationship(back_populates="deals", lazy="raise")
    matches: Mapped[list[GoalDeal]] = relationship(back_populates="deal", lazy="raise", passive_deletes="all")
    saves: Mapped[list[SavedDeal]] = relationship(back_populates="deal", lazy="raise", passive_deletes="all")
    shares: Mapped[list[SharedDeal]] = relationship(back_populates="deal", lazy="raise", passive_deletes="all")
    interactions: Mapped[list[SocialInteraction]] = relationship(
        back_populates="deal", lazy="raise", passive_deletes="all"
    )
    notifications: Mapped[list[Notification]] = relationship(back_populates="deal", lazy="raise", passive_deletes="all")
    analysis_requests: Mapped[list[AnalysisRequest]] = relationship(
        back_populates="deal", lazy="raise", passive_deletes="all"
    )
