"""Seals the audit log into its chain, and checks the one against the other. Sync only: jobs and commands do that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from storekeeper.ledger import audit_chain as chain
from storekeeper.ledger.audit import AuditRow, decode_row, newest
from storekeeper.ledger.audit_chain import Anchor, Finding, Walk
from storekeeper.ledger.locks import audit_lock
from storekeeper.ledger.runs import server_clock
from storekeeper.stores.postgres.postgres import Postgres
from storekeeper.stores.sql.transaction import BULK

_BATCH: Final = 1_000
_LOG, _CHAIN = "storekeeper.audit_log", "storekeeper.audit_chain"


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many rows were sealed, and where the chain ends since."""

    rows: int
    head: Anchor


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to. `head` is to be kept elsewhere, and to be expected by a later check."""

    sealed: int
    findings: int
    pending: int
    head: Anchor


def pending(postgres: Postgres) -> int:
    """How many committed rows are not sealed yet."""
    with postgres.begin(operation="count", target=_LOG) as connection:
        return int(connection.execute(chain.count_pending()).scalar_one())


def seal_pending(postgres: Postgres) -> Sealed | None:
    """Seals every row that is committed by now, in one transaction; None where there is none.

    None too while another process does it.
    """
    with postgres.begin(timeout=None, operation="seal", target=_LOG) as connection:
        up_to = connection.execute(chain.newest_pending()).scalar_one()
        if up_to is None or not connection.execute(audit_lock().at_once()).scalar_one():
            return None
        end = chain.decode_link(connection.execute(chain.last_link()).one_or_none())
        # one time for all that are sealed together, by which a check knows them: see Walk
        sealed_at = connection.execute(server_clock()).scalar_one()
        count = 0
        while rows := [decode_row(row) for row in connection.execute(chain.pending_rows(up_to, _BATCH))]:
            links = chain.extended(end, rows, sealed_at)
            connection.execute(chain.append_links(links))
            connection.execute(chain.take_off(links))
            end, count = links[-1], count + len(links)
    return None if end is None or not count else Sealed(count, Anchor(end.position, end.hash))


def verify(postgres: Postgres, tell: Callable[[Finding], None], expect: Anchor | None = None) -> Verdict:
    """Computes the whole chain anew, in one snapshot, and tells each finding; rows stream past, however many there are.

    `expect` is an anchor that an earlier check returned: with it a chain that was cut off at its end, or computed anew
    by whoever owns the tables, is found too.
    """
    walk, count, sealed = Walk(expect), 0, 0

    def told(findings: Iterable[Finding]) -> None:
        nonlocal count
        for finding in findings:
            count += 1
            tell(finding)

    with postgres.begin(timeout=None, isolation="repeatable read", operation="verify", target=_CHAIN) as connection:
        connection.execution_options(**{BULK: True})
        for row in _streamed(connection, chain.whole_chain()):
            sealed += 1
            told(walk.step(*chain.decode_both(row)))
        told(walk.end())
        told(map(chain.decode_left_out, _streamed(connection, chain.left_out())))
        told(map(chain.decode_in_vain, _streamed(connection, chain.listed_in_vain())))
        waiting = int(connection.execute(chain.count_pending()).scalar_one())
    return Verdict(sealed, count, waiting, walk.head)


def listed(
    postgres: Postgres,
    limit: int,
    *,
    action: str | None = None,
    subject_id: str | None = None,
    actor: str | None = None,
) -> tuple[AuditRow, ...]:
    """The newest rows of the log, newest first."""
    statement = newest(limit, action=action, subject_id=subject_id, actor=actor)
    with postgres.begin(operation="read", target=_LOG) as connection:
        return tuple(map(decode_row, connection.execute(statement)))


def _streamed(
    connection: sa.Connection, statement: sa.Select[tuple[object, ...]]
) -> Iterable[sa.Row[tuple[object, ...]]]:
    return connection.execute(statement.execution_options(yield_per=_BATCH))
