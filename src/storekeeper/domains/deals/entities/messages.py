"""Chats with the assistant, notifications, and when users want them."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.deals.entities.base import NEW_ID, NOW, TIME, Base, one_of
from storekeeper.domains.deals.entities.deals import Deal
from storekeeper.domains.deals.entities.goals import Goal
from storekeeper.domains.deals.entities.users import User


class ChatMessage(Base):
    """One message of a chat with the assistant; `content` is ciphertext."""

    __tablename__ = "chat_messages"
    __table_args__ = (
        one_of("chat_messages", "role", "user", "assistant", "system"),
        sa.Index("ix_chat_messages_user", "user_id"),
        sa.Index("ix_chat_messages_latest", "user_id", sa.text("created_at DESC"), sa.text("id DESC")),
        sa.Index("ix_chat_messages_goal", "goal_id"),
        sa.Index("ix_chat_messages_role", "role"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    goal_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Goal.id, ondelete="SET NULL"))
    role: Mapped[str] = mapped_column(sa.String(50))
    content: Mapped[str] = mapped_column(sa.Text)
    tokens_used: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    user: Mapped[User] = relationship(back_populates="chat_messages", lazy="raise")
    goal: Mapped[Goal | None] = relationship(back_populates="chat_messages", lazy="raise")


class Notification(Base):
    """One message to a user; read as soon as it has a `read_at`."""

    __tablename__ = "notifications"
    __table_args__ = (
        one_of("notifications", "type", "system", "deal", "goal", "price_alert", "token", "security", "market"),
        one_of("notifications", "priority", "critical", "high", "medium", "low"),
        one_of("notifications", "status", "pending", "sent", "delivered", "read", "failed"),
        sa.Index("ix_notifications_user_status", "user_id", "status"),
        sa.Index("ix_notifications_type", "type"),
        sa.Index("ix_notifications_priority", "priority"),
        sa.Index("ix_notifications_created_at", "created_at"),
        sa.Index("ix_notifications_is_read", "is_read"),
        sa.Index(
            "ix_notifications_unread",
            "user_id",
            sa.text("created_at DESC"),
            postgresql_where=sa.text("read_at IS NULL"),
        ),
        sa.Index("ix_notifications_goal", "goal_id"),
        sa.Index("ix_notifications_deal", "deal_id"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(sa.String(50))
    priority: Mapped[str] = mapped_column(sa.String(50), server_default="medium")
    status: Mapped[str] = mapped_column(sa.String(50), server_default="pending")
    title: Mapped[str] = mapped_column(sa.String(255))
    message: Mapped[str] = mapped_column(sa.Text)
    goal_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Goal.id, ondelete="SET NULL"))
    deal_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Deal.id, ondelete="SET NULL"))
    action_url: Mapped[str | None] = mapped_column(sa.Text)
    channels: Mapped[list[str]] = mapped_column(TypedJson(list[str]), server_default=sa.text("""'["in_app"]'"""))
    sent_at: Mapped[datetime | None] = mapped_column(TIME)
    delivered_at: Mapped[datetime | None] = mapped_column(TIME)
    read_at: Mapped[datetime | None] = mapped_column(TIME)
    is_read: Mapped[bool | None] = mapped_column(sa.Boolean, sa.Computed("read_at IS NOT NULL", persisted=True))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())
    meta_data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sa.text("'{}'"))

    user: Mapped[User] = relationship(back_populates="notifications", lazy="raise")
    goal: Mapped[Goal | None] = relationship(back_populates="notifications", lazy="raise")
    deal: Mapped[Deal | None] = relationship(back_populates="notifications", lazy="raise")


class NotificationSettings(Base):
    """Which messages a user wants, and the hours of their own day in which only critical ones come."""

    __tablename__ = "notification_settings"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    email_deal_alerts: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    email_price_drops: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    email_goal_updates: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    push_deal_alerts: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    push_price_drops: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    push_goal_updates: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    quiet_hours_start: Mapped[time | None] = mapped_column(sa.Time)
    quiet_hours_end: Mapped[time | None] = mapped_column(sa.Time)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    user: Mapped[User] = relationship(back_populates="notification_settings", lazy="raise")
