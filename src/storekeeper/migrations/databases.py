"""Missing databases, made before anything is migrated into them."""

from __future__ import annotations

import sqlalchemy as sa

from storekeeper.clock import SystemClock
from storekeeper.errors import MigrationError, PermissionDeniedError
from storekeeper.migrations.history import SqlStore
from storekeeper.platform.locating import direct_url
from storekeeper.settings import Settings, SqlPool, without_password
from storekeeper.stores.sql.failures import sqlstate_of, translate
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.urls import sqlalchemy_url
from storekeeper.timescale.quoting import quoted

STORES: tuple[SqlStore, ...] = ("postgres", "timescale")

#: The database that is there on every server, for whoever wants to make another.
MAINTENANCE = "postgres"

_DUPLICATE_DATABASE = "42P04"


def create_databases(settings: Settings) -> tuple[str, ...]:
    """Makes the databases of both SQL stores where they are missing, as UTF8, and returns the names of those made.

    Raises PermissionDeniedError where the role may not, and the stores' own errors where a server cannot be reached.
    """
    made: list[str] = []
    for store in STORES:
        # past a pooler, which knows the databases that it was told of; a server knows all of them
        url = direct_url(settings, store, "owner")
        database = sqlalchemy_url(url).database
        if not database:
            raise MigrationError("its URL names no database", operation="create", target=without_password(url))
        if _create(url, database, settings):
            made.append(database)
    return tuple(made)


def _create(url: str, database: str, settings: Settings) -> bool:
    pool = Pool(
        sqlalchemy_url(url).set(database=MAINTENANCE).render_as_string(hide_password=False),
        pool=SqlPool(min=0, size=1, overflow=0),
        connect_timeout=settings.connect_timeout,
        transaction_timeout=None,
        slow_query=settings.slow_query,
        prepared=False,
        store=MAINTENANCE,
        clock=SystemClock(),
    )
    pool.open()
    try:
        with pool.autocommit(operation="create database", target=database) as connection:
            known = sa.text("SELECT true FROM pg_catalog.pg_database WHERE datname = :database")
            if connection.scalar(known, {"database": database}):
                return False
            try:
                # template0: the only one that takes an encoding other than the server's own
                statement = f"CREATE DATABASE {quoted(database)} ENCODING 'UTF8' TEMPLATE template0"
                connection.exec_driver_sql(statement.replace("%", "%%"))
            except sa.exc.DBAPIError as error:
                if sqlstate_of(error) == _DUPLICATE_DATABASE:  # another process was faster
                    return False
                raise _explained(error, database, sqlalchemy_url(url).username or "") from error
            return True
    finally:
        pool.close(settings.close_deadline)


def _explained(error: sa.exc.DBAPIError, database: str, owner: str) -> Exception:
    """The store's error, which names what an administrator would run where the role may not."""
    failure = translate(error, operation="create database", target=database)
    if isinstance(failure, PermissionDeniedError):
        failure.hint = f'have an administrator run: CREATE DATABASE "{database}" OWNER "{owner}"'
    return failure
