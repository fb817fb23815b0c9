"""The relational entities of the invest domain, to the letter of its data dictionary."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from storekeeper import NAMING_CONVENTION

_NOW = sa.text("now()")
_NEW_ID = sa.text("gen_random_uuid()")
_TIME = sa.DateTime(timezone=True)


class Base(DeclarativeBase):
    """What all entities of this domain share: the schema, and the names of what is not named here."""

    metadata = sa.MetaData(schema="invest", naming_convention=NAMING_CONVENTION)


class User(Base):
    """A person with an account. Erased by a tombstone or a DELETE, never by changing `id`.

    `phone` is ciphertext; `password_hash` is bcrypt's; the two tokens are digests.
    """

    __tablename__ = "users"
    __table_args__ = (
        sa.CheckConstraint(
            r"email ~* '^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$'",
            name="check_email_format",
        ),
        sa.Index("idx_users_subscription", "subscription_tier"),
        sa.Index("idx_users_created_at", "created_at"),
        sa.Index(
            "uq_users_email_lower", sa.text("lower(email)"), unique=True, postgresql_where=sa.text("deleted_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=_NEW_ID)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    first_name: Mapped[str] = mapped_column(sa.String(100))
    last_name: Mapped[str] = mapped_column(sa.String(100))
    phone: Mapped[str | None] = mapped_column(sa.Text)
    avatar_url: Mapped[str | None] = mapped_column(sa.Text)
    email_verified: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.false())
    email_verification_token: Mapped[str | None] = mapped_column(sa.String(255))
    password_reset_token: Mapped[str | None] = mapped_column(sa.String(255))
    password_reset_expires: Mapped[datetime | None] = mapped_column(_TIME)
    last_login: Mapped[datetime | None] = mapped_column(_TIME)
    subscription_tier: Mapped[str] = mapped_column(sa.String(20), server_default="free")
    subscription_expires: Mapped[datetime | None] = mapped_column(_TIME)
    preferences: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW, server_onupdate=sa.FetchedValue())
    deleted_at: Mapped[datetime | None] = mapped_column(_TIME)

    sessions: Mapped[list[Session]] = relationship(back_populates="user", passive_deletes="all")
    portfolios: Mapped[list[Portfolio]] = relationship(back_populates="user", passive_deletes="all")


class Session(Base):
    """The durable record of a refresh token (its digest); the live session is in Redis."""

    __tablename__ = "sessions"
    __table_args__ = (
        sa.CheckConstraint("expires_at > created_at", name="check_expires_future"),
        sa.Index("idx_sessions_user_id", "user_id"),
        sa.Index("idx_sessions_token", "refresh_token"),
        sa.Index("idx_sessions_expires", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=_NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    refresh_token: Mapped[str] = mapped_column(sa.String(500))
    device_info: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    ip_address: Mapped[str | None] = mapped_column(sa.String(45))
    user_agent: Mapped[str | None] = mapped_column(sa.Text)
    expires_at: Mapped[datetime] = mapped_column(_TIME)
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW)

    user: Mapped[User] = relationship(back_populates="sessions")


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

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=_NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(sa.String(100), server_default="Main Portfolio")
    description: Mapped[str | None] = mapped_column(sa.Text)
    is_default: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    currency: Mapped[str] = mapped_column(sa.String(3), server_default="USD")
    initial_value: Mapped[Decimal] = mapped_column(sa.Numeric(15, 2), server_default=sa.text("0.00"))
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="portfolios")
    assets: Mapped[list[PortfolioAsset]] = relationship(back_populates="portfolio", passive_deletes="all")


class PortfolioAsset(Base):
    """One symbol in a portfolio; `total_cost` is the server's product of shares and average price."""

    __tablename__ = "portfolio_assets"
    __table_args__ = (
        sa.CheckConstraint("shares > 0", name="check_shares_positive"),
        sa.CheckConstraint("avg_purchase_price > 0", name="check_avg_price_positive"),
        sa.UniqueConstraint("portfolio_id", "symbol", name="unique_portfolio_symbol"),
        sa.Index("idx_portfolio_assets_symbol", "symbol"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=_NEW_ID)
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
    last_price_update: Mapped[datetime | None] = mapped_column(_TIME)
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(_TIME, server_default=_NOW, server_onupdate=sa.FetchedValue())

    portfolio: Mapped[Portfolio] = relationship(back_populates="assets")
