"""Effects for other stores, recorded in the transaction that makes them true."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from storekeeper.catalog import Effect
from storekeeper.errors import InputError
from storekeeper.ledger import outbox


async def record_async(
    session: AsyncSession | AsyncConnection, effect: Effect, *, key: str, payload: BaseModel
) -> None:
    """Writes an effect into the outbox: it commits, or is rolled back, with the caller's transaction.

    The relay applies the effects of one `key` in the order of their commits, whatever kinds they are, so a key says
    what it is about: "deal:6f1…". The key is locked until the transaction ends, so those who record several keys do it
    in one order (sorted, say). Raises InputError where the payload is not of the effect's model.
    """
    if not key or "\0" in key:
        raise InputError("a key is a text that says what the effect is about", operation="record", target=effect.name)
    if not isinstance(payload, effect.payload):
        raise InputError(
            f"carries a {effect.payload.__name__}, not a {type(payload).__name__}",
            operation="record",
            target=effect.name,
        )
    carried = payload.model_dump(mode="json", by_alias=True)
    await session.execute(outbox.record(effect.name, key, carried))
