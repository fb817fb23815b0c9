"""How far somebody reaches into the rows of a domain: what a transaction of theirs sees, changes and deletes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storekeeper import Domain, Platform, Protection
from storekeeper.errors import PermissionDeniedError

#: By table: how many rows are seen, can be changed and can be deleted.
Reach = dict[str, tuple[int, ...]]

#: What no service may do to a table at all.
DENIED = -1


def reach(service: Platform, domain: Domain, user_id: UUID | None) -> Reach:
    """How far a transaction of this user reaches in every table that holds users' rows. Asking changes nothing."""
    return {
        protection.name: tuple(_count(service, statement, user_id) for statement in _statements(protection))
        for protection in domain.protections
        if protection.owners
    }


def seen(service: Platform, domain: Domain, user_id: UUID) -> set[str]:
    """The tables that hold users' rows, without the schema, of which this user sees some."""
    owned = [protection.table for protection in domain.protections if protection.owners]
    with service.postgres.session(user_id=user_id) as session:
        return {table.name for table in owned if session.scalar(sa.select(sa.exists(sa.select(table))))}


def is_nothing(reached: Reach) -> bool:
    """Whether somebody sees, changes and deletes no row at all."""
    return all(count in (0, DENIED) for counts in reached.values() for count in counts)


def _statements(protection: Protection) -> tuple[sa.Executable, ...]:
    table = protection.table
    column = next(one for one in table.columns if one.name not in protection.guarded and one.computed is None)
    # no WHERE: every row that a policy lets through counts
    return (
        sa.select(sa.func.count()).select_from(table),
        sa.update(table).values({column: column}),
        sa.delete(table),
    )


def _count(service: Platform, statement: Any, user_id: UUID | None) -> int:
    try:
        with service.postgres.session(user_id=user_id) as session:
            found: Any = session.execute(statement)
            count = found.scalar_one() if isinstance(statement, sa.Select) else found.rowcount
            session.rollback()
            return int(count)
    except PermissionDeniedError:
        return DENIED
