# Generated from defi_domain_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What tests of the defi domain's operations share: a platform over one migrated database, and people in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from storekeeper import Platform, connect
from storekeeper.domains.defi.entities import User
from storekeeper.domains.defi.operations.users import register
from storekeeper.domains.defi.shapes import Preferences

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@contextmanager
def defi_platform(url: str, **settings: Any) -> Generator[Platform]:
    """The relational store of a migrated database."""
    with connect(stores=("postgres",), postgres_url=url, timescale_url=url, **settings) as platform:
        yield platform


def new_user(platform: Platform, preferences: Preferences | None = None) -> UUID:
    """A user with a wallet of their own, and nothing else."""
    user_id = uuid4()
    with platform.postgres.session(user_id=user_id) as session:
        user: User = register(session, f"0x{user_id.hex}{'0' * 8}", preferences, user_id=user_id)
        return user.id


def count(platform: Platform, entity: type[Any]) -> int:
    """How many rows there are."""
    with platform.postgres.session() as session:
        return int(session.scalar(sa.select(sa.func.count()).select_from(entity)) or 0)
