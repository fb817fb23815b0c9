"""Users: a wallet, what they want to hear of, and where."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storekeeper import TypedJson
from storekeeper.domains.defi.entities.base import NEW_ID, NOW, OBJECT, TIME, Base
from storekeeper.domains.defi.shapes import Preferences

if TYPE_CHECKING:
    from storekeeper.domains.defi.entities.intents import Intent
    from storekeeper.domains.defi.entities.positions import Position
    from storekeeper.domains.defi.entities.signals import Alert


class User(Base):
    """Somebody with an Ethereum wallet, its address in lower case; `telegram_chat_id` is ciphertext."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=NEW_ID)
    wallet_address: Mapped[str] = mapped_column(sa.String(42), unique=True)
    preferences: Mapped[Preferences] = mapped_column(TypedJson(Preferences), server_default=OBJECT)
    telegram_chat_id: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW, server_onupdate=sa.FetchedValue())

    positions: Mapped[list[Position]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    alerts: Mapped[list[Alert]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
    intents: Mapped[list[Intent]] = relationship(back_populates="user", passive_deletes="all", lazy="raise")
