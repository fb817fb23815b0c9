"""Back-fills: rows that are there get a new value, in batches along the primary key, from a checkpoint on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from storekeeper.errors import ConflictError, MigrationError, StatementTimeoutError, StorekeeperError
from storekeeper.ledger import backfills as ledger
from storekeeper.ledger.tables import backfills
from storekeeper.migrations.online.names import in_sql
from storekeeper.migrations.online.retrying import retried
from storekeeper.migrations.online.steps import asked, in_transaction, rendering, revision, tell, tried
from storekeeper.timescale.quoting import listed, quoted, verbatim

#: A batch grows until it takes this long: its rows are locked for as long, and writers wait for no more than that.
LONGEST_BATCH = timedelta(milliseconds=150)
#: The first batch, and the least growth starts from.
FIRST_BATCH = 200
#: Of the time that a batch took: the busier the store, the longer the pause after it.
PAUSE_SHARE = 0.5
TELL_EVERY = timedelta(seconds=2)

_KEY = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = to_regclass(:table) AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place
"""
_ABOUT = """
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class
WHERE relkind = 'r' AND (
    oid = to_regclass(:table)
    OR oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(to_regclass(:table)) WHERE isleaf)
)
"""


@dataclass(frozen=True, slots=True)
class _Key:
    """The primary key: its columns and their types."""

    columns: tuple[tuple[str, str], ...]

    def beyond(self, sign: str, prefix: str) -> str:
        """`(a, b) > (:p0, :p1)`, as SQL."""
        values = [f"CAST(:{prefix}{at} AS {kind})" for at, (_, kind) in enumerate(self.columns)]
        if len(values) == 1:
            return f"{self.order} {sign} {values[0]}"
        return f"({self.order}) {sign} ({', '.join(values)})"

    def bound(self, prefix: str, values: Sequence[str] | None) -> dict[str, str]:
        return {f"{prefix}{at}": value for at, value in enumerate(values or ())}

    @property
    def order(self) -> str:
        return listed(name for name, _ in self.columns)

    @property
    def in_order(self) -> str:
        """For ORDER BY of the table as `r`: without a prefix it would be the order of the texts."""
        return listed((name for name, _ in self.columns), "r.")

    @property
    def texts(self) -> str:
        return ", ".join(f"CAST({quoted(name)} AS text)" for name, _ in self.columns)


def backfill(name: str, table: str, set_sql: str, where: str, *, batch: int = 5_000) -> None:
    """UPDATE table SET set_sql WHERE where, in batches of at most `batch` rows, each a short transaction.

    Each row that is there when it begins is looked at once, whatever interrupts it: the checkpoint is committed with
    its batch. Rows that others write meanwhile are theirs to fill: by a default, a trigger, or the code that writes.
    `name` tells the back-fills of a revision apart. Raises MigrationError for a table without a primary key, or where
    one of this name is under way with another statement.
    """
    if rendering():
        op.execute(verbatim(f"UPDATE {in_sql(table)} SET {set_sql} WHERE {where}"))
        return
    _refuse_other_stores(name)
    key = _Key(tuple((row[0], row[1]) for row in asked(_KEY, table=in_sql(table))))
    if not key.columns:
        raise MigrationError(
            "has no primary key to go along", operation="back-fill", target=table, hint="give it one first"
        )
    statement = f"UPDATE {in_sql(table)} SET {set_sql} WHERE ({where})"
    (about,) = asked(_ABOUT, table=in_sql(table))[0]
    state = tried(
        f"back-fill {name} of {table}", lambda: in_transaction(name, lambda: _begin(name, table, statement, about))
    )
    size, told_at = min(batch, FIRST_BATCH), time.monotonic()
    while not state.finished:
        try:
            began = time.monotonic()
            state = _next(key, state, size)
            took = time.monotonic() - began
        except StatementTimeoutError:
            if size == 1:
                raise
            size = max(1, size // 4)
            continue
        if took > LONGEST_BATCH.total_seconds():
            size = max(1, size // 2)
        elif took < LONGEST_BATCH.total_seconds() / 2:
            size = min(batch, size * 2)
        if time.monotonic() - told_at > TELL_EVERY.total_seconds():
            tell(f"back-fill {name} of {table}: {state.seen:,} of about {max(about, state.seen):,} rows")
            told_at = time.monotonic()
        if not state.finished:
            time.sleep(took * PAUSE_SHARE)
    tell(f"back-fill {name} of {table}: done, {state.changed:,} rows changed")


def _begin(name: str, table: str, statement: str, about: int) -> ledger.Backfill:
    bind = op.get_bind()
    bind.execute(ledger.begin(revision(), name, table, statement, about))
    state = ledger.decode(bind.execute(ledger.one(revision(), name)).one())
    if state.statement != statement and not state.finished:
        raise MigrationError(
            f"is under way with another statement: {state.statement}",
            operation="back-fill",
            target=f"{revision()}: {name}",
            hint="put the revision back as it was, or give the back-fill another name",
        )
    return state


def _next(key: _Key, state: ledger.Backfill, size: int) -> ledger.Backfill:
    """One batch and its checkpoint. A lock that is not to be had, or a batch that is too long, changes nothing."""

    def told(number: int, error: StorekeeperError) -> None:
        tell(f"back-fill {state.name}: not yet ({error.cause}), attempt {number}", action="wait")

    def run() -> ledger.Backfill:
        bind = op.get_bind()
        after = f" WHERE {key.beyond('>', 'after')}" if state.at else ""
        parameters: dict[str, Any] = key.bound("after", state.at)
        # the key of the last row of this batch; none where what is left is less than one
        rows = f"FROM {in_sql(state.table)} r{after}"
        ends = bind.execute(
            sa.text(f"SELECT {key.texts} {rows} ORDER BY {key.in_order} OFFSET :skipped LIMIT 1"),
            {**parameters, "skipped": size - 1},
        ).one_or_none()
        upto = tuple(ends) if ends is not None else None
        bounds = [key.beyond(">", "after")] if state.at else []
        bounds += [key.beyond("<=", "upto")] if upto else []
        within = "".join(f" AND {bound}" for bound in bounds)
        parameters |= key.bound("upto", upto)
        changed = bind.execute(sa.text(verbatim(state.statement) + within), parameters).rowcount
        seen = size if upto else bind.execute(sa.text(f"SELECT count(*) {rows}"), parameters).scalar_one()
        bind.execute(ledger.advance(state, upto, seen=seen, changed=changed))
        return ledger.decode(bind.execute(ledger.one(state.revision, state.name)).one())

    return retried(lambda: in_transaction(f"back-fill {state.name}", run), told, again=(ConflictError,))


def _refuse_other_stores(name: str) -> None:
    if not asked("SELECT true WHERE to_regclass(:table) IS NOT NULL", table=backfills.fullname):
        raise MigrationError(
            "how far it has come is kept in the postgres store, and this is another",
            operation="back-fill",
            target=f"{revision()}: {name}",
            hint="write the rows of a series by ingest, or by jobs",
        )
