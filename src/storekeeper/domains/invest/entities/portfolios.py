"""Portfolios, what they hold, and what was bought and sold for them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.invest.entities.base import NEW_ID, NOW, TIME, Base
from storekeeper.domains.invest.entities.users import User


class Portfolio(Base):
    """What a user holds, under one name and in one currency; at most one of a user's is the default."""

    __tablename__ = "portfolios"
    __table_args__ = (
        sa.CheckConstraint("initial_value >= 0", name="check_initial_value"),
        sa.Index("idx_portfolios_user_id", "user_id"),
        sa.Index(
            "idx_portfolios_user_default", "user_id", "is_default", unique=True, postgresql_where=sa.text("is_default")
        ),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(sa.String(100), server_default="Main Portfolio")
    description: Mapped[str | None] = mapped_column(sa.Text)
    is_default: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    currency: Mapped[str] = mapped_column(sa.String(3), server_default="USD")
    initial_value: Mapped[Decimal] = mapped_column(sa.Numeric(15, 2), server_default=sa.text("0.00"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="portfolios", lazy="raise")
    assets: Mapped[list[PortfolioAsset]] = relationship(back_populates="portfolio", passive_deletes="all", lazy="raise")
    transactions: Mapped[list[Transaction]] = relationship(
        back_populates="portfolio", passive_deletes="all", lazy="raise"
    )


class PortfolioAsset(Base):
    """One symbol in a portfolio; `total_cost` is the server's product of shares and average price."""

    __tablename__ = "portfolio_assets"
    __table_args__ = (
        sa.CheckConstraint("shares > 0", name="check_shares_positive"),
        sa.CheckConstraint("avg_purchase_price > 0", name="check_avg_price_positive"),
        sa.UniqueConstraint("portfolio_id", "symbol", name="unique_portfolio_symbol"),
        sa.Index("idx_portfolio_assets_symbol", "symbol"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    portfolio_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Portfolio.id, ondelete="CASCADE"))
    symbol: Mapped[str] = mapped_column(sa.String(32))
    name: Mapped[str] = mapped_column(sa.String(255))
    asset_type: Mapped[str] = mapped_column(sa.String(20), server_default="stock")
    shares: Mapped[Decimal] = mapped_column(sa.Numeric(15, 6))
    avg_purchase_price: Mapped[Decimal] = mapped_column(sa.Numeric(18, 6))
    current_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(18, 6))
    total_cost: Mapped[Decimal | None] = mapped_column(
        sa.Numeric(15, 2), sa.Computed("shares * avg_purchase_price", persisted=True)
    )
    current_value: Mapped[Decimal | None] = mapped_column(sa.Numeric(15, 2))
    unrealized_gain: Mapped[Decimal | None] = mapped_column(sa.Numeric(15, 2))
    unrealized_gain_percent: Mapped[Decimal | None] = mapped_column(sa.Numeric(7, 4))
    last_price_update: Mapped[datetime | None] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    portfolio: Mapped[Portfolio] = relationship(back_populates="assets", lazy="raise")


class Transaction(Base):
    """A purchase, sale or dividend; `total_amount` is the server's product of shares and price.

    Kept for seven years at least: the server refuses to delete a younger one, to move its date into another year, and
    to delete its portfolio. Stored by year of `transaction_date`.
    """

    __tablename__ = "transactions"
    __table_args__ = (
        sa.CheckConstraint("transaction_type IN ('buy','sell','dividend')", name="check_transaction_type"),
        sa.CheckConstraint("shares > 0", name="check_shares_positive"),
        sa.CheckConstraint("price > 0", name="check_price_positive"),
        sa.CheckConstraint("fees >= 0", name="check_fees_non_negative"),
        sa.Index("idx_transactions_portfolio", "portfolio_id"),
        sa.Index("idx_transactions_symbol", "symbol"),
        sa.Index("idx_transactions_date", "transaction_date"),
        sa.Index("idx_transactions_type", "transaction_type"),
        sa.Index("idx_transactions_portfolio_date", "portfolio_id", "transaction_date", "id"),
        sa.Index("idx_transactions_position", "portfolio_id", "symbol", "transaction_date", "id"),
        {"postgresql_partition_by": "RANGE (transaction_date)"},
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    portfolio_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Portfolio.id, ondelete="RESTRICT"))
    symbol: Mapped[str] = mapped_column(sa.String(32))
    transaction_type: Mapped[str] = mapped_column(sa.String(10))
    shares: Mapped[Decimal] = mapped_column(sa.Numeric(15, 6))
    price: Mapped[Decimal] = mapped_column(sa.Numeric(18, 6))
    total_amount: Mapped[Decimal | None] = mapped_column(
        sa.Numeric(15, 2), sa.Computed("shares * price", persisted=True)
    )
    fees: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), server_default=sa.text("0.00"))
    transaction_date: Mapped[datetime] = mapped_column(TIME, primary_key=True)
    notes: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)

    portfolio: Mapped[Portfolio] = relationship(back_populates="transactions", lazy="raise")
