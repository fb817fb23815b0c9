"""Events that are only ever appended, and where those are that have left the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storekeeper.domains.defi.entities.base import NOW, OBJECT, TIME, Base


class Event(Base):
    """One thing that happened to an aggregate; `version` counts its events from 1, `id` orders all of them."""

    __tablename__ = "event_store"
    __table_args__ = (
        sa.UniqueConstraint("aggregate_id", "version", name="uq_event_store_aggregate_version"),
        sa.Index("ix_event_store_type_occurred", "event_type", "occurred_at"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    aggregate_type: Mapped[str] = mapped_column(sa.String(100))
    aggregate_id: Mapped[UUID] = mapped_column(sa.Uuid)
    version: Mapped[int] = mapped_column(sa.Integer)
    event_type: Mapped[str] = mapped_column(sa.String(100))
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=OBJECT)
    occurred_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)


class ArchiveFile(Base):
    """A Parquet file that holds the events with `after_id` < id <= `last_id`, which are no longer in the database.

    The files follow one another without a gap from 0 on. The row is written by the transaction that deletes the events.
    """

    __tablename__ = "event_archives"
    __table_args__ = (
        sa.CheckConstraint("after_id >= 0 AND last_id > after_id", name="event_archives_range_check"),
        sa.CheckConstraint("rows > 0", name="event_archives_rows_check"),
        sa.UniqueConstraint("after_id"),
        sa.UniqueConstraint("name"),
    )

    last_id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    after_id: Mapped[int] = mapped_column(sa.BigInteger)
    name: Mapped[str] = mapped_column(sa.String(200))
    sha256: Mapped[str] = mapped_column(sa.String(64))
    rows: Mapped[int] = mapped_column(sa.BigInteger)
    archived_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)


class ArchivedStream(Base):
    """Up to which version the events of an aggregate are archived; no event of such a version is taken again."""

    __tablename__ = "archived_streams"

    aggregate_id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    aggregate_type: Mapped[str] = mapped_column(sa.String(100))
    version: Mapped[int] = mapped_column(sa.Integer)
