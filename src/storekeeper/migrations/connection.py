"""A connection for migrations: direct, its own, and locked, so that two of them queue up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from storekeeper.errors import AlreadyRunningError
from storekeeper.ledger.locks import migration_lock
from storekeeper.migrations.history import SqlStore
from storekeeper.platform import Platform
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.urls import sqlalchemy_url

#: How long a statement waits for a table that others use, before the whole revision is tried again: all who come after
#: wait with it. And how long one migration waits for another to end.
LOCK_TIMEOUT = "500ms"
QUEUE_SECONDS = 600.0
_AGAIN_SECONDS = 0.2

#: A migration that is killed ends on the server too, in the middle of whatever it waits for or builds. Servers on
#: systems that cannot tell refuse the setting.
_END_WITH_ITS_CLIENT = """
DO $block$ BEGIN
    SET client_connection_check_interval = '1s';
EXCEPTION WHEN invalid_parameter_value THEN NULL;
END $block$
"""


@contextmanager
def connected(platform: Platform, store: SqlStore) -> Iterator[sa.Connection]:
    """A connection past any pooler; it ends with the block, and with it what it began and did not commit."""
    engine = sa.create_engine(
        sqlalchemy_url(platform.url(store, direct=True, role="owner")),
        poolclass=NullPool,
        connect_args={
            "connect_timeout": max(2, round(platform.settings.connect_timeout)),
            "application_name": "storekeeper migrate",
            "prepare_threshold": None,
        },
    )
    # before SQLAlchemy asks for the default schema: a role's own name may be that of one of ours
    sa.event.listen(engine, "connect", _without_search_path, insert=True)
    with translated("migrate", store), engine.connect() as connection:
        # a session's own settings: this is no connection of a pool
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.execute(sa.text("SET idle_in_transaction_session_timeout = 0"))
        connection.execute(sa.text("SET timezone = 'UTC'"))
        connection.execute(sa.text("SET datestyle = 'ISO'"))
        connection.execute(sa.text(_END_WITH_ITS_CLIENT))
        connection.commit()
        yield connection


def lock(connection: sa.Connection, store: SqlStore) -> None:
    """Takes the store's migration lock, once whoever held it before is done, and keeps it until the connection ends.

    It asks again and again, and lies in no transaction between: the other migration may be building an index, for which
    it waits until every transaction that was open before has ended. Raises AlreadyRunningError after ten minutes.
    """
    wanted = migration_lock(store)
    keys = sa.cast(wanted.namespace, sa.Integer), sa.cast(wanted.key, sa.Integer)
    end = time.monotonic() + QUEUE_SECONDS
    with translated("migrate", store):
        while not _had(connection, sa.select(sa.func.pg_try_advisory_lock(*keys))):
            if time.monotonic() >= end:
                raise AlreadyRunningError(
                    "another migration runs, and does not end",
                    operation="migrate",
                    target=store,
                    hint="find it in pg_stat_activity as `storekeeper migrate`",
                )
            time.sleep(_AGAIN_SECONDS)


def _had(connection: sa.Connection, asking: sa.Select[Any]) -> bool:
    had = bool(connection.scalar(asking))
    connection.commit()
    return had


def _without_search_path(connection: Any, _: object) -> None:
    """Every name is qualified: a revision that relies on a search path fails here rather than in some installations."""
    connection.execute("SET search_path = pg_catalog")
    connection.commit()
