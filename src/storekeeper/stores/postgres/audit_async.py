"""What must be answered for, written down in the transaction that did it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from storekeeper.ledger import audit as log
from storekeeper.stores.sql.failures import translated

_NOTHING: Mapping[str, log.Detail] = {}


async def audit_async(
    session: AsyncSession | AsyncConnection,
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
        await session.execute(statement)
