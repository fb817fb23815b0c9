"""What deals refer to: the markets that sell, the tree of categories, the sources that find."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.deals.entities.base import NEW_ID, NOW, TIME, Base, one_of

if TYPE_CHECKING:
    from storekeeper.domains.deals.entities.deals import Deal


class Market(Base):
    """A shop that sells. `api_key` is ciphertext, under the installation's key; the rate window is in seconds."""

    __tablename__ = "markets"
    __table_args__ = (
        one_of("markets", "type", "amazon", "walmart", "ebay", "target", "bestbuy"),
        one_of("markets", "status", "active", "inactive", "maintenance", "rate_limited", "error", "deprecated"),
        sa.Index("ix_markets_type_status", "type", "status"),
        sa.Index("ix_markets_status", "status"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(255), unique=True)
    type: Mapped[str] = mapped_column(sa.String(50))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    base_url: Mapped[str] = mapped_column(sa.Text)
    logo_url: Mapped[str | None] = mapped_column(sa.Text)
    api_endpoint: Mapped[str | None] = mapped_column(sa.Text)
    api_key: Mapped[str | None] = mapped_column(sa.Text)
    rate_limit: Mapped[int | None] = mapped_column(sa.Integer)
    rate_limit_window: Mapped[int | None] = mapped_column(sa.Integer)
    current_rate: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    last_rate_reset: Mapped[datetime | None] = mapped_column(TIME)
    error_count: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    last_error_at: Mapped[datetime | None] = mapped_column(TIME)
    last_error: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    deals: Mapped[list[Deal]] = relationship(back_populates="market", lazy="raise", passive_deletes="all")


class Category(Base):
    """A node of the tree of categories; a name is there once a parent."""

    __tablename__ = "categories"
    __table_args__ = (
        sa.UniqueConstraint("name", "parent_id", name="unique_name_per_parent"),
        sa.Index("ix_categories_parent", "parent_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(100))
    parent_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("deals.categories.id"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    parent: Mapped[Category | None] = relationship(back_populates="children", remote_side="Category.id", lazy="raise")
    children: Mapped[list[Category]] = relationship(back_populates="parent", lazy="raise", passive_deletes="all")
    deals: Mapped[list[Deal]] = relationship(back_populates="filed_under", lazy="raise", passive_deletes="all")


class Source(Base):
    """Where deals come from; `reliability_score` is 0 to 1."""

    __tablename__ = "sources"
    __table_args__ = (
        one_of("sources", "type", "api", "scraper", "affiliate", "user_submitted"),
        sa.CheckConstraint("reliability_score >= 0 AND reliability_score <= 1", name="valid_reliability_score"),
        sa.Index("ix_sources_type", "type"),
        sa.Index("ix_sources_status", "status"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    type: Mapped[str] = mapped_column(sa.String(50))
    configuration: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    reliability_score: Mapped[Decimal] = mapped_column(sa.Numeric(3, 2), server_default=sa.text("1.0"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    deals: Mapped[list[Deal]] = relationship(back_populates="found_by", lazy="raise", passive_deletes="all")
