# Generated from audit_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What must be answered for, written down in the transaction that did it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from storekeeper.ledger import audit as log
from storekeeper.stores.sql.failures import translated

_NOTHING: Mapping[str, log.Detail] = {}


def audit(
    session: Session | Connection,
    action: log.Action,
    *,
    subject: str,
    subject_id: str,
    detail: Mapping[str, log.Detail] = _NOTHING,
) -> None:
    """Appends to the audit log: `action` was done to `subject` (deals.users) with this id. Gone if it is rolled back.

    Who did it, for which request and as which role of the server is taken from the transaction, the time from the
    server. Ids, digests and counts only: raises InputError for what may identify a person. Keep the transaction short:
    a row that is committed minutes after its time looks like one that was slipped in.
    """
    statement = log.append(action, subject=subject, subject_id=subject_id, detail=detail)
    with translated("append to", "storekeeper.audit_log"):
        session.execute(statement)
