"""Users, and the durable records of their sessions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.invest.entities.base import NEW_ID, NOW, TIME, Base
from storekeeper.domains.invest.shapes import DeviceInfo, Preferences

if TYPE_CHECKING:
    from storekeeper.domains.invest.entities.activity import UserActivity
    from storekeeper.domains.invest.entities.insights import AiInsight
    from storekeeper.domains.invest.entities.portfolios import Portfolio
    from storekeeper.domains.invest.entities.watchlists import PriceAlert, Watchlist


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
        sa.Index(
            "idx_users_reset_token",
            "password_reset_token",
            postgresql_where=sa.text("password_reset_token IS NOT NULL"),
        ),
        sa.Index(
            "idx_users_verification_token",
            "email_verification_token",
            postgresql_where=sa.text("email_verification_token IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    first_name: Mapped[str] = mapped_column(sa.String(100))
    last_name: Mapped[str] = mapped_column(sa.String(100))
    phone: Mapped[str | None] = mapped_column(sa.Text)
    avatar_url: Mapped[str | None] = mapped_column(sa.Text)
    email_verified: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.false())
    email_verification_token: Mapped[str | None] = mapped_column(sa.String(255))
    password_reset_token: Mapped[str | None] = mapped_column(sa.String(255))
    password_reset_expires: Mapped[datetime | None] = mapped_column(TIME)
    last_login: Mapped[datetime | None] = mapped_column(TIME)
    subscription_tier: Mapped[str] = mapped_column(sa.String(20), server_default="free")
    subscription_expires: Mapped[datetime | None] = mapped_column(TIME)
    preferences: Mapped[Preferences] = mapped_column(TypedJson(Preferences), server_default=sa.text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    deleted_at: Mapped[datetime | None] = mapped_column(TIME)

    sessions: Mapped[list[Session]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    portfolios: Mapped[list[Portfolio]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    watchlists: Mapped[list[Watchlist]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    price_alerts: Mapped[list[PriceAlert]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    insights: Mapped[list[AiInsight]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    activities: Mapped[list[UserActivity]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")


class Session(Base):
    """The durable record of a refresh token (its digest); the live session is in Redis."""

    __tablename__ = "sessions"
    __table_args__ = (
        sa.CheckConstraint("expires_at > created_at", name="check_expires_future"),
        sa.Index("idx_sessions_user_id", "user_id"),
        sa.Index("idx_sessions_token", "refresh_token"),
        sa.Index("idx_sessions_expires", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    refresh_token: Mapped[str] = mapped_column(sa.String(500))
    device_info: Mapped[DeviceInfo | None] = mapped_column(TypedJson(DeviceInfo))
    ip_address: Mapped[str | None] = mapped_column(sa.String(45))
    user_agent: Mapped[str | None] = mapped_column(sa.Text)
    expires_at: Mapped[datetime] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)

    user: Mapped[User] = relationship(back_populates="sessions", lazy="raise")
