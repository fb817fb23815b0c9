"""The engine of an open store: the one on record, or before the first migration the one that it would get."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from storekeeper.ledger import series
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.running_async import inspected
from storekeeper.timescale.choosing import choose_engine, engine_on_record, probe
from storekeeper.timescale.engine import Engine

#: Whether this role may read the record: some of a server's roles see nothing of it.
_READABLE: Final = sa.text("""
    SELECT CASE WHEN has_schema_privilege(space.oid, 'USAGE')
        THEN coalesce(has_table_privilege(to_regclass('storekeeper.engines'), 'SELECT'), false) ELSE false END
    FROM pg_catalog.pg_namespace AS space WHERE space.nspname = 'storekeeper'""")


async def engine_for(pool: AsyncPool, forced: str | None) -> Engine:
    """Asks the server once. A setting that disagrees with the record is `migrate`'s and `status`' to tell: the store
    is read and written as it was made.

    Raises NotSupportedError where hypertables are forced on a server that has none, before the first migration.
    """
    async with pool.begin(operation="choose engine", target=pool.store) as connection:
        found = await inspected(connection, probe())
        if (await connection.execute(_READABLE)).scalar():
            recorded = series.decode_engine((await connection.execute(series.recorded_engine())).first())
            if recorded is not None:
                return engine_on_record(found, recorded.engine)
    return choose_engine(found, forced)
