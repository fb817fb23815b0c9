"""Users, what they prefer, and the tokens that they sign in with."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.deals.entities.base import NEW_ID, NOW, TIME, Base, one_of
from storekeeper.domains.deals.shapes import Preferences

if TYPE_CHECKING:
    from storekeeper.domains.deals.entities.analysis import AnalysisRequest
    from storekeeper.domains.deals.entities.goals import Goal
    from storekeeper.domains.deals.entities.messages import ChatMessage, Notification, NotificationSettings
    from storekeeper.domains.deals.entities.sharing import SavedDeal, SharedDeal, SocialInteraction
    from storekeeper.domains.deals.entities.tokens import BalanceChange, RedemptionCode, TokenBalance, TokenTransaction


class User(Base):
    """A person with an account; one an address, however it is spelt.

    `role` and `status` are changed by `deals.change_role()` and `deals.change_status()` alone. `hashed_password` is
    bcrypt's, `verification_token` a digest.
    """

    __tablename__ = "users"
    __table_args__ = (
        one_of("users", "role", "user", "admin", "moderator"),
        one_of("users", "status", "active", "inactive", "suspended", "deleted"),
        sa.Index("ix_users_email_status", "email", "status"),
        sa.Index("ix_users_role", "role"),
        sa.Index("ix_users_referred_by", "referred_by"),
        sa.Index("uq_users_email_lower", sa.text("lower(email)"), unique=True),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)
    hashed_password: Mapped[str] = mapped_column(sa.String(255))
    name: Mapped[str | None] = mapped_column(sa.String(255))
    role: Mapped[str] = mapped_column(sa.String(50), server_default="user")
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    is_active: Mapped[bool | None] = mapped_column(sa.Boolean, sa.Computed("status = 'active'", persisted=True))
    email_verified: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.false())
    verification_token: Mapped[str | None] = mapped_column(sa.String(255))
    sol_address: Mapped[str | None] = mapped_column(sa.String(44), unique=True)
    referral_code: Mapped[str | None] = mapped_column(sa.String(10), unique=True)
    referred_by: Mapped[UUID | None] = mapped_column(sa.ForeignKey("deals.users.id", ondelete="SET NULL"))
    preferences: Mapped[Preferences] = mapped_column(TypedJson(Preferences), server_default=sa.text("'{}'"))
    notification_channels: Mapped[list[str]] = mapped_column(
        TypedJson(list[str]), server_default=sa.text("""'["in_app"]'""")
    )
    social_provider: Mapped[str | None] = mapped_column(sa.String(50))
    social_id: Mapped[str | None] = mapped_column(sa.String(255))
    last_payment_at: Mapped[datetime | None] = mapped_column(TIME)
    last_login_at: Mapped[datetime | None] = mapped_column(TIME)
    active_goals_count: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    total_deals_found: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    success_rate: Mapped[Decimal] = mapped_column(sa.Numeric(5, 4), server_default=sa.text("0"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    referrer: Mapped[User | None] = relationship(back_populates="referrals", remote_side="User.id", lazy="raise")
    referrals: Mapped[list[User]] = relationship(back_populates="referrer", lazy="raise", passive_deletes="all")
    wishes: Mapped[UserPreferences | None] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    auth_tokens: Mapped[list[AuthToken]] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    goals: Mapped[list[Goal]] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    saved_deals: Mapped[list[SavedDeal]] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    shared_deals: Mapped[list[SharedDeal]] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    interactions: Mapped[list[SocialInteraction]] = relationship(
        back_populates="user", lazy="raise", passive_deletes="all"
    )
    chat_messages: Mapped[list[ChatMessage]] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    notifications: Mapped[list[Notification]] = relationship(back_populates="user", lazy="raise", passive_deletes="all")
    notification_settings: Mapped[NotificationSettings | None] = relationship(
        back_populates="user", lazy="raise", passive_deletes="all"
    )
    token_balance: Mapped[TokenBalance | None] = relationship(
        back_populates="user", lazy="raise", passive_deletes="all"
    )
    token_transactions: Mapped[list[TokenTransaction]] = relationship(
        back_populates="user", lazy="raise", passive_deletes="all"
    )
    balance_changes: Mapped[list[BalanceChange]] = relationship(
        back_populates="user", lazy="raise", passive_deletes="all"
    )
    redemption_codes: Mapped[list[RedemptionCode]] = relationship(
        back_populates="creator", lazy="raise", passive_deletes="all"
    )
    analysis_requests: Mapped[list[AnalysisRequest]] = relationship(
        back_populates="user", lazy="raise", passive_deletes="all"
    )


class UserPreferences(Base):
    """What a user wants to be shown; categories and markets by name."""

    __tablename__ = "user_preferences"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    notification_email: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    notification_push: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    theme: Mapped[str | None] = mapped_column(sa.String(50), server_default="light")
    deal_categories: Mapped[list[str] | None] = mapped_column(TypedJson(list[str]))
    preferred_markets: Mapped[list[str] | None] = mapped_column(TypedJson(list[str]))
    min_discount_percentage: Mapped[int | None] = mapped_column(sa.Integer)
    max_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="wishes", lazy="raise")


class AuthToken(Base):
    """A token that somebody signs in with: its digest, never the token."""

    __tablename__ = "auth_tokens"
    __table_args__ = (
        one_of("auth_tokens", "token_type", "access", "refresh", "reset"),
        one_of("auth_tokens", "status", "active", "expired", "revoked"),
        one_of("auth_tokens", "scope", "full", "limited", "read"),
        sa.Index("ix_auth_tokens_user", "user_id"),
        sa.Index("ix_auth_tokens_token", "token"),
        sa.Index("ix_auth_tokens_status", "status"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    token: Mapped[str] = mapped_column(sa.Text)
    token_type: Mapped[str] = mapped_column(sa.String(50))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    scope: Mapped[str] = mapped_column(sa.String(50), server_default="full")
    expires_at: Mapped[datetime] = mapped_column(TIME)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    user: Mapped[User] = relationship(back_populates="auth_tokens", lazy="raise")
