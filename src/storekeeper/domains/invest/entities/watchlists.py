"""What users watch: lists of symbols, and alerts on prices."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.invest.entities.base import NEW_ID, NOW, TIME, Base
from storekeeper.domains.invest.entities.users import User


class Watchlist(Base):
    """Symbols that a user follows, under one name; a public one is for others to see too."""

    __tablename__ = "watchlists"
    __table_args__ = (sa.Index("idx_watchlists_user_id", "user_id"),)

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(sa.String(100))
    description: Mapped[str | None] = mapped_column(sa.Text)
    is_public: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.false())
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="watchlists", lazy="raise")
    items: Mapped[list[WatchlistItem]] = relationship(back_populates="watchlist", passive_deletes="all", lazy="raise")


class WatchlistItem(Base):
    """One symbol on a watchlist."""

    __tablename__ = "watchlist_items"
    __table_args__ = (sa.UniqueConstraint("watchlist_id", "symbol", name="unique_watchlist_symbol"),)

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    watchlist_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Watchlist.id, ondelete="CASCADE"))
    symbol: Mapped[str] = mapped_column(sa.String(32))
    added_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    notes: Mapped[str | None] = mapped_column(sa.Text)

    watchlist: Mapped[Watchlist] = relationship(back_populates="items", lazy="raise")


class PriceAlert(Base):
    """What a user wants to be told of a symbol: once it was triggered, and again when they were told, it says when."""

    __tablename__ = "price_alerts"
    __table_args__ = (
        sa.CheckConstraint("alert_type IN ('price','percent_change','volume')", name="check_alert_type"),
        sa.CheckConstraint("condition IN ('above','below','equals')", name="check_condition"),
        sa.Index("idx_price_alerts_user_id", "user_id"),
        sa.Index("idx_price_alerts_symbol", "symbol"),
        sa.Index("idx_price_alerts_active", "is_active", postgresql_where=sa.text("is_active")),
        sa.Index(
            "idx_price_alerts_pending", "symbol", "id", postgresql_where=sa.text("is_active AND triggered_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    symbol: Mapped[str] = mapped_column(sa.String(32))
    alert_type: Mapped[str] = mapped_column(sa.String(20))
    target_price: Mapped[Decimal] = mapped_column(sa.Numeric(18, 6))
    condition: Mapped[str] = mapped_column(sa.String(10))
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    triggered_at: Mapped[datetime | None] = mapped_column(TIME)
    notified_at: Mapped[datetime | None] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(TIME)

    user: Mapped[User] = relationship(back_populates="price_alerts", lazy="raise")
