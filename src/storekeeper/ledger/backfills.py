"""How far each back-fill of a revision has come: statements for the transaction of each of its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from storekeeper.ledger.tables import backfills


@dataclass(frozen=True, slots=True)
class Backfill:
    """A back-fill: what it does, and how far it is.

    `at` is the primary key of the last row that it has dealt with, as text; None before the first batch. `about` is how
    many rows the server took the table for when it began.
    """

    revision: str
    name: str
    table: str
    statement: str
    at: tuple[str, ...] | None
    about: int
    seen: int
    changed: int
    began_at: datetime
    changed_at: datetime
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        return self.finished_at is not None


def begin(revision: str, name: str, table: str, statement: str, about: int) -> sa.Insert:
    """Notes a back-fill, unless it has begun before."""
    values = {"revision": revision, "name": name, "table_name": table, "statement": statement, "rows_about": about}
    return insert(backfills).values(values).on_conflict_do_nothing()


def one(revision: str, name: str) -> sa.Select[Any]:
    """One back-fill, as a row for `decode`."""
    return _all().where(backfills.c.revision == revision, backfills.c.name == name)


def under_way() -> sa.Select[Any]:
    """Those that have begun and not ended, the oldest first: rows for `decode`."""
    return _all().where(backfills.c.finished_at.is_(None)).order_by(backfills.c.began_at)


def decode(row: Sequence[Any]) -> Backfill:
    """The value of one row."""
    revision, name, table, statement, at, *rest = row
    return Backfill(revision, name, table, statement, None if at is None else tuple(at), *rest)


def advance(state: Backfill, at: Sequence[str] | None, *, seen: int, changed: int) -> sa.Update:
    """Notes a batch, in its transaction. `at` is the key of its last row; None: it was the last batch."""
    noted: dict[str, Any] = {
        "rows_seen": backfills.c.rows_seen + seen,
        "rows_changed": backfills.c.rows_changed + changed,
        "changed_at": sa.func.clock_timestamp(),
    }
    noted |= {"finished_at": sa.func.clock_timestamp()} if at is None else {"at": list(at)}
    same = (backfills.c.revision == state.revision, backfills.c.name == state.name)
    return sa.update(backfills).where(*same).values(noted)


def forget(revision: str) -> sa.Delete:
    """Forgets what a revision that was taken back, and later ones of its domain, have filled: they begin anew."""
    of_domain = sa.func.regexp_replace(backfills.c.revision, "_[^_]*$", "") == revision.rpartition("_")[0]
    return sa.delete(backfills).where(of_domain, backfills.c.revision >= revision)


def _all() -> sa.Select[Any]:
    return sa.select(backfills)
