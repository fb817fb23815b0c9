"""The time-series engine of a store: chosen once, at the first migration, recorded, and never switched silently."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.errors import DriftError
from storekeeper.ledger.tables import engines
from storekeeper.timescale.engine import Engine, choose_engine

_EXTENSION = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'"


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine, and whether the store has it on record."""

    engine: Engine
    recorded: bool


def engine_of(connection: sa.Connection, forced: str | None) -> Choice:
    """The engine on record, else the one that the server is good for, or that is forced.

    Raises DriftError where the record and the server, or the setting, disagree; NotSupportedError where this version
    has no such engine.
    """
    extension = connection.scalar(
        sa.text("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'")
    )
    recorded = _recorded(connection)
    if recorded is None:
        return Choice(choose_engine(extension, forced), recorded=False)
    if forced is not None and forced != recorded:
        raise DriftError(
            f"is set to {forced}, and this store was made with {recorded}",
            operation="choose engine",
            target="timescale",
            hint=f'set `engine = "{recorded}"`, or leave it out; to change engines, load the data into a new store',
        )
    if recorded == "hypertables" and extension is None:
        raise DriftError(
            "the store was made with hypertables, and the server has no timescaledb extension",
            operation="choose engine",
            target="timescale",
            hint="check the URL; a restored database needs the extension that it was made with",
        )
    return Choice(choose_engine(extension, recorded), recorded=True)


def record_engine(connection: sa.Connection, engine: Engine) -> None:
    """Puts the choice on record, where there is none."""
    version = connection.scalar(sa.text("SHOW server_version"))
    connection.execute(sa.insert(engines).values(engine=engine.name, server_version=version))
    connection.commit()


def _recorded(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('storekeeper.engines')")) is None:
        return None
    return connection.scalar(sa.select(engines.c.engine))
