"""Emptying the stores of all that the catalogue's domains and the platform have in them, to begin anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlalchemy as sa

from storekeeper.errors import MigrationError
from storekeeper.ledger.tables import SCHEMA
from storekeeper.migrations.applying import SQL_STORES
from storekeeper.migrations.connection import connected, lock
from storekeeper.migrations.environment import version_table
from storekeeper.migrations.history import SqlStore
from storekeeper.platform import Platform
from storekeeper.platform.locating import STORES, locate
from storekeeper.stores.redis.failures import translated as of_redis
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.urls import sqlalchemy_url
from storekeeper.timescale.quoting import qualified, quoted

#: Relations dropped in one transaction: each holds locks on itself, its indexes and its partitions.
_AT_ONCE = 20

#: A view over what TimescaleDB keeps in a table of its own is a continuous aggregate, and is called a materialized one.
_RELATIONS = """
SELECT relname, CASE WHEN relkind = 'v' AND EXISTS (
    SELECT FROM pg_catalog.pg_rewrite AS rule
    JOIN pg_catalog.pg_depend AS link ON link.classid = 'pg_catalog.pg_rewrite'::regclass AND link.objid = rule.oid
    JOIN pg_catalog.pg_class AS held ON link.refclassid = 'pg_catalog.pg_class'::regclass AND held.oid = link.refobjid
    WHERE rule.ev_class = pg_class.oid AND held.relnamespace = to_regnamespace('_timescaledb_internal')
) THEN 'm' ELSE relkind END
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace(:schema) AND relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY relkind IN ('r', 'p'), relispartition DESC, relname
"""
_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}


def drop_everything(platform: Platform, *, destroy: str | None = None) -> tuple[str, ...]:
    """Drops the schemas, collections and keys of the catalogue's domains and the platform's own; a line each.

    `destroy` is the name of the SQL stores' database (of both, with a comma, where they are two). Without it only the
    embedded stack is emptied, and only where no row has to be kept. Raises MigrationError otherwise, before anything is
    touched. Cut off in the middle, the stores say that they are not migrated, and the next call goes on.
    """
    _refuse_mistakes(platform, destroy)
    dropped: list[str] = []
    for store in SQL_STORES:
        dropped += _drop_sql(platform, store)
    dropped += _drop_documents(platform)
    dropped += _drop_keys(platform)
    return tuple(dropped)


def databases(platform: Platform) -> tuple[str, ...]:
    """The names of the SQL stores' databases, each once."""
    names = (sqlalchemy_url(platform.url(store, direct=True)).database or "" for store in SQL_STORES)
    return tuple(dict.fromkeys(names))


def _refuse_mistakes(platform: Platform, destroy: str | None) -> None:
    names = databases(platform)
    say = f"--yes-destroy {','.join(names)}"
    if destroy is not None:
        if tuple(destroy.split(",")) != names:
            raise MigrationError(
                f"the database is {' and '.join(names)}, not {destroy}",
                operation="drop everything",
                hint=f"if it is meant, say {say}",
            )
        return
    elsewhere = [store for store in STORES if not locate(platform.settings, store).embedded]
    if elsewhere:
        raise MigrationError(
            f"{', '.join(elsewhere)} is not of the embedded stack",
            operation="drop everything",
            hint=f"if all that is in it may go, say {say}",
        )
    if kept := list(_kept(platform)):
        raise MigrationError(
            f"there are rows that have to be kept, in {', '.join(kept)}",
            operation="drop everything",
            hint=f"if they may go all the same, say {say}",
        )


def _kept(platform: Platform) -> Iterator[str]:
    """Tables with rows that nothing may delete yet."""
    now = platform.clock.now()
    with connected(platform, "postgres") as connection:
        for lifecycle in platform.catalog.lifecycles:
            column = lifecycle.partition.column if lifecycle.partition is not None else lifecycle.since
            if lifecycle.keep_at_least is None or column is None:
                continue
            table = qualified(lifecycle.table.schema or "", lifecycle.table.name)
            there = connection.scalar(sa.text("SELECT to_regclass(:table) IS NOT NULL"), {"table": table})
            younger = sa.text(f"SELECT EXISTS (SELECT FROM {table} WHERE {quoted(column)} > :since)")
            if there and connection.scalar(younger, {"since": lifecycle.keep_at_least.before(now)}):
                yield lifecycle.name


def _drop_sql(platform: Platform, store: SqlStore) -> Iterator[str]:
    with connected(platform, store) as connection, translated("drop everything", store):
        lock(connection, store)
        # first what says that anything is there: an abort leaves a store that is not migrated, not one that seems so
        for name in SQL_STORES:
            if name == store or platform.url("postgres") == platform.url("timescale"):
                connection.execute(sa.text(f"DROP TABLE IF EXISTS {SCHEMA}.{version_table(name)}"))
        connection.commit()
        for schema in (*reversed([domain.name for domain in platform.catalog.domains]), SCHEMA):
            if not connection.scalar(
                sa.text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": quoted(schema)}
            ):
                continue
            found = connection.execute(sa.text(_RELATIONS), {"schema": quoted(schema)}).all()
            for start in range(0, len(found), _AT_ONCE):
                for name, kind in found[start : start + _AT_ONCE]:
                    what = f"{_KINDS.get(kind, 'TABLE')} IF EXISTS {qualified(schema, name)}"
                    connection.execute(sa.text(f"DROP {what} CASCADE"))
                connection.commit()
            connection.execute(sa.text(f"DROP SCHEMA {quoted(schema)} CASCADE"))
            connection.commit()
            yield f"{store}: {schema}, {len(found)} tables and views"


def _drop_documents(platform: Platform) -> Iterator[str]:
    for collection in platform.mongo.actual_collections():
        platform.mongo.drop_collection(collection.database, collection.name)
        yield f"mongo: {collection.database}.{collection.name}"


def _drop_keys(platform: Platform) -> Iterator[str]:
    prefix = platform.settings.redis_prefix
    client = platform.redis.client
    for pattern in (*(keyspace.pattern for keyspace in platform.catalog.keyspaces), "cache:{key}"):
        with of_redis("drop", pattern):
            keys = list(client.scan_iter(match=_glob(prefix + pattern), count=1000))
            for key in keys:
                client.unlink(key)
        if keys:
            yield f"redis: {pattern}, {len(keys)} keys"


def _glob(pattern: str) -> str:
    """`session:{id}` as the server matches it; what is special there stands for itself."""
    parts = re.split(r"\{\w+\}", pattern)
    return "*".join(re.sub(r"([\[\]*?\\^-])", r"\\\1", part) for part in parts)
