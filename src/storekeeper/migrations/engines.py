"""The time-series engine of a store: chosen once, at the first migration, recorded, and never switched silently."""

from __future__ import annotations

import sqlalchemy as sa

from storekeeper.ledger.tables import engines
from storekeeper.stores.sql.running import inspected
from storekeeper.timescale import choosing
from storekeeper.timescale.choosing import Choice, probe
from storekeeper.timescale.engine import Engine

__all__ = ["Choice", "engine_of", "record_engine"]


def engine_of(connection: sa.Connection, forced: str | None) -> Choice:
    """The engine on record, else the one that the server is good for, or that is forced.

    Raises DriftError where the record and the server, or the setting, disagree; NotSupportedError where hypertables
    are forced on a server that has none.
    """
    return choosing.engine_of(inspected(connection, probe()), _recorded(connection), forced)


def record_engine(connection: sa.Connection, engine: Engine) -> None:
    """Puts the choice on record, where there is none."""
    version = connection.scalar(sa.text("SHOW server_version"))
    connection.execute(sa.insert(engines).values(engine=engine.name, server_version=version))
    connection.commit()


def _recorded(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('storekeeper.engines')")) is None:
        return None
    return connection.scalar(sa.select(engines.c.engine))
