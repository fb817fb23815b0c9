"""The token economy: what users have, every change of it, what services and packages cost, codes to redeem."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper.domains.deals.entities.base import NEW_ID, NOW, POSTING_TYPES, TIME, Base, one_of
from storekeeper.domains.deals.entities.goals import Goal
from storekeeper.domains.deals.entities.users import User


class TokenBalance(Base):
    """How many tokens a user has; its row is the lock under which the user's tokens change."""

    __tablename__ = "user_token_balances"
    __table_args__ = (sa.CheckConstraint("balance >= 0", name="positive_balance"),)

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"), unique=True)
    balance: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8), server_default=sa.text("0"))
    lifetime_earned: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8), server_default=sa.text("0"))
    lifetime_spent: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8), server_default=sa.text("0"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="token_balance", lazy="raise")


class TokenTransaction(Base):
    """One posting of the ledger, stored by month of `created_at`; completed, it says what the balance became."""

    __tablename__ = "token_transactions"
    __table_args__ = (
        one_of("token_transactions", "type", *POSTING_TYPES),
        one_of("token_transactions", "status", "pending", "completed", "failed", "cancelled"),
        sa.CheckConstraint("amount <> 0", name="valid_amount"),
        sa.CheckConstraint("status <> 'completed' OR balance_after IS NOT NULL", name="completed_has_balance"),
        sa.Index("ix_token_transactions_user", "user_id"),
        # a page of a user's ledger reads no month that it does not show
        sa.Index("ix_token_transactions_latest", "user_id", sa.text("created_at DESC"), sa.text("id DESC")),
        sa.Index("ix_token_transactions_type", "type"),
        sa.Index("ix_token_transactions_status", "status"),
        sa.Index("ix_token_transactions_hash", "tx_hash"),
        sa.Index("ix_token_transactions_created_at", "created_at"),
        sa.Index("ix_token_transactions_reference", "reference_id"),
        sa.Index("ix_token_transactions_goal", "goal_id"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, server_default=NEW_ID, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(sa.String(50))
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8))
    balance_after: Mapped[Decimal | None] = mapped_column(sa.Numeric(18, 8))
    status: Mapped[str] = mapped_column(sa.String(50), server_default="pending")
    description: Mapped[str | None] = mapped_column(sa.Text)
    goal_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Goal.id, ondelete="SET NULL"))
    reference_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    tx_hash: Mapped[str | None] = mapped_column(sa.String(66))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, primary_key=True)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    user: Mapped[User] = relationship(back_populates="token_transactions", lazy="raise")
    goal: Mapped[Goal | None] = relationship(back_populates="token_transactions", lazy="raise")


class BalanceChange(Base):
    """One change of a balance: what it was, what it became, and by which posting."""

    __tablename__ = "token_balance_history"
    __table_args__ = (
        one_of("token_balance_history", "change_type", *POSTING_TYPES),
        sa.Index("ix_token_balance_history_user", "user_id"),
        sa.Index("ix_token_balance_history_type", "change_type"),
        sa.Index("ix_token_balance_history_transaction", "transaction_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    balance_before: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8))
    balance_after: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8))
    change_amount: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8))
    change_type: Mapped[str] = mapped_column(sa.String(50))
    transaction_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    user: Mapped[User] = relationship(back_populates="balance_changes", lazy="raise")


class TokenPricing(Base):
    """What a service costs from `valid_from` until before `valid_to`."""

    __tablename__ = "token_pricing"
    __table_args__ = (
        sa.Index("ix_token_pricing_service", "service_type"),
        sa.Index("ix_token_pricing_active", "is_active"),
        sa.Index("ix_token_pricing_validity", "valid_from", "valid_to"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    service_type: Mapped[str] = mapped_column(sa.String(50))
    token_cost: Mapped[Decimal] = mapped_column(sa.Numeric(18, 8))
    min_tokens: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("1"))
    max_tokens: Mapped[int | None] = mapped_column(sa.Integer)
    valid_from: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    valid_to: Mapped[datetime | None] = mapped_column(TIME)
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))


class TokenPackage(Base):
    """Tokens that are sold together."""

    __tablename__ = "token_packages"
    __table_args__ = (
        sa.CheckConstraint("token_amount > 0", name="positive_token_amount"),
        sa.CheckConstraint("price_usd > 0", name="positive_price"),
        sa.Index("ix_token_packages_active", "is_active"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    name: Mapped[str] = mapped_column(sa.String(100))
    token_amount: Mapped[int] = mapped_column(sa.Integer)
    price_usd: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    description: Mapped[str | None] = mapped_column(sa.Text)
    discount_percentage: Mapped[int | None] = mapped_column(sa.Integer, server_default=sa.text("0"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())


class RedemptionCode(Base):
    """A code that gives tokens, `max_redemptions` times in all and once a user."""

    __tablename__ = "token_redemption_codes"
    __table_args__ = (
        sa.CheckConstraint("token_amount > 0", name="positive_token_amount"),
        sa.CheckConstraint("max_redemptions > 0", name="valid_max_redemptions"),
        sa.Index("ix_redemption_codes_active", "is_active"),
        sa.Index("ix_redemption_codes_expires", "expires_at"),
        sa.Index("ix_redemption_codes_created_by", "created_by"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    code: Mapped[str] = mapped_column(sa.String(50), unique=True)
    token_amount: Mapped[int] = mapped_column(sa.Integer)
    max_redemptions: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("1"))
    redemptions_count: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    expires_at: Mapped[datetime | None] = mapped_column(TIME)
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    created_by: Mapped[UUID | None] = mapped_column(sa.ForeignKey(User.id, ondelete="SET NULL"))

    creator: Mapped[User | None] = relationship(back_populates="redemption_codes", lazy="raise")
