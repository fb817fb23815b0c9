"""Finds out how a store is to be backed up: on which server it lives, with whom, and by which means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from storekeeper.backups.taken import Plan
from storekeeper.catalog.backup import StoreName
from storekeeper.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from storekeeper.backups.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the stores are, as URLs with their passwords. Needed is that of the store that is backed up; of postgres
    and timescale the other one's too, so that it is seen whether they are one cluster.

    Of mongo the databases whose names begin with `mongo_prefix` and _ belong to the installation.
    """

    postgres: str | None = field(default=None, repr=False)
    timescale: str | None = field(default=None, repr=False)
    mongo: str | None = field(default=None, repr=False)
    redis: str | None = field(default=None, repr=False)
    mongo_prefix: str = "storekeeper"

    def url(self, store: StoreName) -> str:
        """Raises SettingsError where it is not given."""
        found: str | None = getattr(self, store)
        if found is None:
            raise SettingsError("no URL is given", operation="back up", target=store)
        return found


def plan_backup(store: StoreName, sources: Sources) -> Plan:
    """Asks the server of a store, finds the tools, and changes nothing.

    Raises the stores' errors, SettingsError, MissingBinaryError, BackupError.
    """
    # The drivers are imported where they are needed.
    match store:
        case "postgres" | "timescale":
            return _plan_postgres(store, sources)
        case "mongo":
            return _plan_mongo(sources)
        case "redis":
            return _plan_redis(sources)
        case _:
            assert_never(store)


def _plan_postgres(store: StoreName, sources: Sources) -> Plan:
    from storekeeper.backups.cluster import inspect_cluster
    from storekeeper.backups.postgres import take_base_backup
    from storekeeper.backups.postgres_dump import take_dumps
    from storekeeper.backups.tools import postgres_tool

    url = sources.url(store)
    cluster = inspect_cluster(url)
    urls = {store: url}
    other: StoreName = "timescale" if store == "postgres" else "postgres"
    neighbour = _neighbour(getattr(sources, other), url, cluster)
    if neighbour is not None:
        urls[other] = getattr(sources, other)
    # A shared cluster has one folder, whichever of its stores asked.
    stores = tuple(sorted(urls))
    server = stores[0]
    if cluster.no_base_backup is None:
        tool = postgres_tool("pg_basebackup", major=cluster.major)
        return Plan(
            server,
            stores,
            "full",
            cluster.system_identifier,
            cluster.bytes,
            needed_bytes=cluster.bytes,
            # WAL is received in segments, each of which takes its whole room at once
            chunk_bytes=2 * cluster.wal_segment_bytes,
            detail=f"base backup of PostgreSQL {cluster.version} by {tool.name} {tool.version}",
            take=lambda folder, errand: take_base_backup(url, cluster, folder, errand),
        )
    tool = postgres_tool("pg_dump", major=cluster.major)
    databases = {cluster.database: url} | ({neighbour.database: urls[other]} if neighbour is not None else {})
    reason = cluster.no_base_backup
    sizes = dict(cluster.databases)
    return Plan(
        server,
        stores,
        "dump",
        cluster.system_identifier,
        sum(sizes[database] for database in databases),
        needed_bytes=0,  # it is compressed, and leaves indexes out
        chunk_bytes=0,
        detail=f"dump of {' and '.join(databases)} by {tool.name} {tool.version}, no point in time: {reason}",
        take=lambda folder, errand: take_dumps(databases, cluster, reason, folder, errand),
    )


def _neighbour(neighbour_url: str | None, url: str, cluster: Cluster) -> Cluster | None:
    """The other SQL store's view of the same cluster; None where it is another one, or can't be asked: that makes one
    backup too many rather than one too few."""
    from storekeeper.backups.cluster import inspect_cluster

    if neighbour_url is None:
        return None
    if neighbour_url == url:
        return cluster
    try:
        found = inspect_cluster(neighbour_url)
    except StoreError:
        return None
    return found if found.is_same_as(cluster) else None


def _plan_mongo(sources: Sources) -> Plan:
    from storekeeper.backups.mongo import inspect_mongo, take_dump

    url = sources.url("mongo")
    server = inspect_mongo(url, sources.mongo_prefix)
    names = ", ".join(server.databases) or f"nothing, for there is no database {sources.mongo_prefix}_…"
    return Plan(
        "mongo",
        ("mongo",),
        "full",
        identity="",
        bytes=server.bytes,
        needed_bytes=server.bytes,
        chunk_bytes=0,
        detail=f"{server.documents} documents of MongoDB {server.version}: {names}",
        take=lambda folder, errand: take_dump(url, server, folder, errand),
    )


def _plan_redis(sources: Sources) -> Plan:
    from storekeeper.backups.redis import inspect_redis, take_rdb
    from storekeeper.backups.tools import rdb_checker

    url = sources.url("redis")
    server = inspect_redis(url)
    checker = rdb_checker(engine=server.engine, version=server.version)
    return Plan(
        "redis",
        ("redis",),
        "full",
        identity="",
        bytes=server.bytes,
        needed_bytes=0,  # what the data take in memory says little about the file
        chunk_bytes=0,
        detail=f"RDB of {server.keys} keys of {server.engine} {server.version}, checked by {checker.name}",
        take=lambda folder, errand: take_rdb(url, server, folder, errand),
    )
