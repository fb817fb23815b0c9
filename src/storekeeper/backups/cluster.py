"""A PostgreSQL cluster as a backup sees it: who it is, how large, and whether it lets its files be copied."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from storekeeper.errors import BackupError
from storekeeper.settings import without_password
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.urls import psycopg_dsn

_CONNECT_SECONDS = 10
_SENDERS = 2  # pg_basebackup takes two connections: one for the files, one for the WAL that is written meanwhile


@dataclass(frozen=True, slots=True)
class Tablespace:
    oid: int
    name: str
    location: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of a running cluster. `no_base_backup` says why it can't be copied; None where it can."""

    system_identifier: str
    started: datetime
    version: str
    version_number: int
    database: str
    databases: tuple[tuple[str, int], ...]
    extensions: tuple[tuple[str, str], ...]
    tablespaces: tuple[Tablespace, ...]
    wal_segment_bytes: int
    no_base_backup: str | None

    @property
    def major(self) -> int:
        return self.version_number // 10000

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.databases)

    def is_same_as(self, other: Cluster) -> bool:
        """Copies of a cluster share its identifier, so the moment at which the server started must agree as well."""
        return (self.system_identifier, self.started) == (other.system_identifier, other.started)


def inspect_cluster(url: str) -> Cluster:
    """Asks the server behind a URL, and changes nothing there. Raises the stores' errors."""
    target = without_password(url)
    dsn = make_conninfo(psycopg_dsn(url), application_name="storekeeper backup", **_timeout(url))
    with translated("inspect", target), psycopg.connect(dsn, autocommit=True) as connection:
        row = _one(connection, _CLUSTER)
        return Cluster(
            system_identifier=str(row[0]),
            started=row[1],
            version=str(row[2]).split()[0],
            version_number=int(row[3]),
            database=str(row[4]),
            databases=tuple((str(name), int(size or 0)) for name, size in connection.execute(_DATABASES)),
            extensions=tuple((str(name), str(version)) for name, version in connection.execute(_EXTENSIONS)),
            tablespaces=tuple(Tablespace(int(r[0]), str(r[1]), str(r[2])) for r in connection.execute(_TABLESPACES)),
            wal_segment_bytes=int(row[5]),
            no_base_backup=_why_no_base_backup(connection, dsn, target),
        )


def connection_arguments(url: str) -> tuple[str, dict[str, str]]:
    """The URL for a tool of PostgreSQL: a connection string without the password, and the environment that holds it.

    Raises BackupError where there is a second secret, for which there is no variable.
    """
    parameters = conninfo_to_dict(psycopg_dsn(url)) | _timeout(url)
    password = parameters.pop("password", None)
    if "sslpassword" in parameters:
        raise BackupError(
            "sslpassword would be seen in the list of processes",
            operation="back up",
            target=without_password(url),
            hint="use a key without a passphrase, in a file that only its owner can read",
        )
    environment = {"PGAPPNAME": "storekeeper backup", **({"PGPASSWORD": str(password)} if password else {})}
    return make_conninfo("", **parameters), environment


def _why_no_base_backup(connection: psycopg.Connection[Any], dsn: str, target: str) -> str | None:
    may, senders, busy, wal_level, role = _one(connection, _REPLICATION)
    if not may:
        return f"the role {role} has no REPLICATION attribute"
    if int(senders) < _SENDERS:
        return f"max_wal_senders is {senders}"
    if wal_level == "minimal":
        return "wal_level is minimal"
    if int(busy) + _SENDERS > int(senders):
        raise BackupError(
            f"{busy} of {senders} WAL senders are taken, and a backup needs {_SENDERS}",
            operation="back up",
            target=target,
            hint="try again later, or raise max_wal_senders",
        )
    try:
        # A connection of the other kind is let in by rules of its own (pg_hba.conf).
        psycopg.connect(dsn, replication="true", autocommit=True).close()
    except psycopg.OperationalError as error:
        return f"the server takes no replication connection: {str(error).strip().splitlines()[0]}"
    return None


def _timeout(url: str) -> dict[str, Any]:
    given = conninfo_to_dict(psycopg_dsn(url)).get("connect_timeout")
    return {"connect_timeout": given or _CONNECT_SECONDS}


def _one(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    found: tuple[Any, ...] = row
    return found


_CLUSTER = """
SELECT system_identifier, pg_catalog.pg_postmaster_start_time(), current_setting('server_version'),
       current_setting('server_version_num'), current_database(),
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size')
FROM pg_catalog.pg_control_system()
"""
_DATABASES = b"""
SELECT datname, CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT')
                       OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                     THEN pg_catalog.pg_database_size(oid) END
FROM pg_catalog.pg_database ORDER BY datname
"""
_EXTENSIONS = b"SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY extname"
_TABLESPACES = b"""
SELECT oid, spcname, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace
WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid
"""
_REPLICATION = """
SELECT rolsuper OR rolreplication, current_setting('max_wal_senders'),
       (SELECT count(*) FROM pg_catalog.pg_stat_replication), current_setting('wal_level'), rolname
FROM pg_catalog.pg_roles WHERE rolname = session_user
"""
