# Generated from flagged_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Reading the rows that quality rules mark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from storekeeper.catalog import Hypertable
from storekeeper.errors import DeclarationError
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.timescale.read import Reader
from storekeeper.timescale.quality import FLAGS, select_flagged


def flagged(
    pool: Pool,
    reader: Reader,
    hypertable: Hypertable,
    *,
    start: datetime | None,
    end: datetime | None,
    flags: Sequence[str] | None,
    exact: bool,
) -> Table:
    """As AsyncTimescale.flagged."""
    declared = {flag.name: flag for flag in hypertable.flags}
    unknown = [name for name in flags or () if name not in declared]
    wanted = [declared[name] for name in (declared if flags is None else flags) if name in declared]
    if unknown or not wanted:
        raise DeclarationError(
            f"no flag {', '.join(unknown)}" if unknown else "has no flags",
            operation="read flagged rows of",
            target=hypertable.name,
            hint=f"declared: {', '.join(declared) or 'none'}",
        )
    columns = tuple(hypertable.table.columns)
    statement = select_flagged(hypertable, columns, wanted, start=start, end=end, exact=exact)
    types = [*((column.name, column.type) for column in columns), (FLAGS, sa.Text())]
    with pool.begin(operation="read flagged rows", target=hypertable.name) as connection:
        return reader.fetched(connection, statement, types, exact=exact, target=hypertable.name)
