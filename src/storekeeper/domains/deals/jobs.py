"""The jobs of the deals domain: what no request does, over the rows of all users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import Action, DomainJob, Platform, minutes
from storekeeper.domains.deals.entities import AuthToken, Deal, Goal
from storekeeper.domains.deals.operations.expiry import (
    ended_deals,
    ended_goals,
    ended_tokens,
    expire_deals,
    expire_goals,
    expire_tokens,
)

#: Rows a transaction: short locks.
BATCH = 1000

EXPIRY = DomainJob(
    "deals.expiry",
    "storekeeper.domains.deals.jobs:expire",
    minutes(5),
    "makes deals, goals and sign-in tokens expired when their time has come",
    quiet=True,
)

JOBS = (EXPIRY,)


def expire(platform: Platform, *, as_of: datetime, dry_run: bool) -> Iterator[Action]:
    """Yields an action for each kind of row of which some have expired."""
    for name, entity, ended, expiring in (
        ("deals.deals", Deal, ended_deals, expire_deals),
        ("deals.goals", Goal, ended_goals, expire_goals),
        ("deals.auth_tokens", AuthToken, ended_tokens, expire_tokens),
    ):
        if dry_run:
            over = sa.select(sa.func.count()).select_from(entity).where(ended(as_of))
            with platform.postgres.session(timeout=None, operation="count", target=name) as session:
                count = session.scalar(over) or 0
        else:
            count = _all(platform, name, partial(expiring, at=as_of, limit=BATCH))
        if count:
            yield Action("expire", name, rows=count)


def _all(platform: Platform, name: str, batch: Callable[[Session], int]) -> int:
    """Batch by batch, each in a transaction of its own."""
    total = 0
    while True:
        count = platform.postgres.perform(batch, timeout=None, operation="expire", target=name, repeatable=True)
        total += count
        if count < BATCH:
            return total
