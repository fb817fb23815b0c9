"""What users save, share and do with deals."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.deals.entities.base import NEW_ID, NOW, TIME, Base, one_of
from storekeeper.domains.deals.entities.deals import Deal
from storekeeper.domains.deals.entities.users import User


class SavedDeal(Base):
    """A deal that a user keeps for later."""

    __tablename__ = "saved_deals"
    __table_args__ = (
        sa.Index("ix_saved_deals_deal", "deal_id"),
        sa.Index("ix_saved_deals_saved_at", "saved_at"),
    )

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    deal_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Deal.id, ondelete="CASCADE"), primary_key=True)
    saved_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    notes: Mapped[str | None] = mapped_column(sa.Text)

    user: Mapped[User] = relationship(back_populates="saved_deals", lazy="raise")
    deal: Mapped[Deal] = relationship(back_populates="saves", lazy="raise")


class SharedDeal(Base):
    """A deal that a user passed on; by `public_link_id` anybody reads it while it is active and has not expired."""

    __tablename__ = "shared_deals"
    __table_args__ = (
        one_of("shared_deals", "share_type", "email", "link", "social"),
        sa.Index("ix_shared_deals_user", "user_id"),
        sa.Index("ix_shared_deals_deal", "deal_id"),
        sa.Index("ix_shared_deals_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    deal_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Deal.id, ondelete="CASCADE"))
    share_type: Mapped[str] = mapped_column(sa.String(50))
    recipients: Mapped[list[str] | None] = mapped_column(TypedJson(list[str]))
    message: Mapped[str | None] = mapped_column(sa.Text)
    public_link_id: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(TIME)
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    click_count: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))

    user: Mapped[User] = relationship(back_populates="shared_deals", lazy="raise")
    deal: Mapped[Deal] = relationship(back_populates="shares", lazy="raise")


class SocialInteraction(Base):
    """One thing that a user did with a deal."""

    __tablename__ = "social_interactions"
    __table_args__ = (
        one_of("social_interactions", "interaction_type", "view", "save", "share", "click", "purchase"),
        sa.Index("ix_social_interactions_user", "user_id"),
        sa.Index("ix_social_interactions_deal", "deal_id"),
        sa.Index("ix_social_interactions_type", "interaction_type"),
        sa.Index("ix_social_interactions_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(User.id, ondelete="CASCADE"))
    deal_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Deal.id, ondelete="CASCADE"))
    interaction_type: Mapped[str] = mapped_column(sa.String(50))
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    meta_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    user: Mapped[User] = relationship(back_populates="interactions", lazy="raise")
    deal: Mapped[Deal] = relationship(back_populates="interactions", lazy="raise")
