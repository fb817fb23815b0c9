"""Whether a table is a TimescaleDB hypertable, which takes fewer kinds of online steps."""

from __future__ import annotations

from typing import Final

from alembic import context

from storekeeper.migrations.online.names import parted
from storekeeper.migrations.online.steps import asked

_KNOWN: Final = """
SELECT true FROM _timescaledb_catalog.hypertable WHERE schema_name = :schema AND table_name = :name
"""


def is_hypertable(table: str) -> bool:
    """False in a store of another engine, which has no such catalogue to ask."""
    engine = context.config.attributes.get("engine")
    if engine is None or engine.name != "hypertables":
        return False
    schema, name = parted(table)
    return bool(asked(_KNOWN, schema=schema, name=name))
