"""Deletes relational rows that have expired, or are older than their table keeps them; partitioned tables apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from storekeeper.catalog import TableLifecycle
from storekeeper.errors import DeclarationError, StorekeeperError
from storekeeper.jobs.each import each
from storekeeper.jobs.job import Action, Steps
from storekeeper.ledger import tables
from storekeeper.span import days

if TYPE_CHECKING:
    from storekeeper.platform import Platform

#: The platform's own: what was delivered is kept for a week, to be looked at.
OWN = (TableLifecycle(tables.outbox, since="delivered_at", drop_after=days(7)),)

#: Rows a transaction: short locks, and little lost when a run is called off.
BATCH = 5_000


def run(platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps:
    """Yields one action a table that has such rows."""

    def clean(lifecycle: TableLifecycle) -> Steps:
        over = outlived(lifecycle, as_of)
        if over is None:
            return
        detail = f"rows past {_rule(lifecycle)}"
        if dry_run:
            count = _counted(platform, lifecycle, over)
            if count:
                yield Action("delete", lifecycle.name, detail, rows=count)
            return
        deleted = 0
        try:
            for count in _batches(platform, lifecycle, over):
                deleted += count
        except (StorekeeperError, KeyboardInterrupt):
            if deleted:  # earlier batches are gone for good: said before the failure is
                yield Action("delete", lifecycle.name, detail, rows=deleted)
            raise
        if deleted:
            yield Action("delete", lifecycle.name, detail, rows=deleted)

    return each((*platform.catalog.lifecycles, *OWN), clean)


def outlived(lifecycle: TableLifecycle, as_of: datetime) -> sa.ColumnElement[bool] | None:
    """Which rows of a table may go as of a moment; None where no rule takes single rows.

    A row goes when it has expired or is too old, and never before it is as old as it must be kept at least.
    """
    if lifecycle.partition is not None:
        return None
    columns = lifecycle.table.c
    rules: list[sa.ColumnElement[bool]] = []
    if lifecycle.expires is not None:
        rules.append(columns[lifecycle.expires] < as_of)
    if lifecycle.drop_after is not None and lifecycle.since is not None:
        rules.append(columns[lifecycle.since] < lifecycle.drop_after.before(as_of))
    if not rules:
        return None
    if lifecycle.keep_at_least is None:
        return sa.or_(*rules)
    if lifecycle.since is None:
        return None
    return sa.and_(sa.or_(*rules), columns[lifecycle.since] < lifecycle.keep_at_least.before(as_of))


def _rule(lifecycle: TableLifecycle) -> str:
    rules = []
    if lifecycle.expires is not None:
        rules.append(lifecycle.expires)
    if lifecycle.drop_after is not None:
        rules.append(f"{lifecycle.since} + {lifecycle.drop_after}")
    return " or ".join(rules)


def _counted(platform: Platform, lifecycle: TableLifecycle, over: sa.ColumnElement[bool]) -> int:
    statement = sa.select(sa.func.count()).select_from(lifecycle.table).where(over)
    with platform.postgres.begin(timeout=None, operation="count", target=lifecycle.name) as connection:
        return int(connection.execute(statement).scalar_one())


def _batches(platform: Platform, lifecycle: TableLifecycle, over: sa.ColumnElement[bool]) -> Iterator[int]:
    """Deletes batch by batch, each in a transaction; rows that somebody else has locked wait for the next run."""
    key = list(lifecycle.table.primary_key.columns)
    if not key:  # without a key to join by, the statement would delete all there is
        raise DeclarationError("rows are cleaned up by primary key", operation="delete", target=lifecycle.name)
    doomed = sa.select(*key).where(over).limit(BATCH).with_for_update(skip_locked=True).cte("doomed")
    statement = sa.delete(lifecycle.table).where(*(column == doomed.c[column.name] for column in key))

    def batch(connection: sa.Connection) -> int:
        return int(connection.execute(statement).rowcount)

    count = BATCH
    while count == BATCH:
        count = platform.postgres.run(batch, timeout=None, operation="delete", target=lifecycle.name)
        yield count
