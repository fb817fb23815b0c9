"""The login roles of an installation in a PostgreSQL cluster: made where they are missing, and left alone after that.

| role | is for | may |
| --- | --- | --- |
| PREFIX_owner | migrations | owns database, schemas and tables; no service logs in as it |
| PREFIX_app | services | what the catalogue's protections grant |
| PREFIX_analyst | reading | what is not personal |
| PREFIX_jobs | jobs, ingest, backups | all rows; REPLICATION; SET ROLE PREFIX_owner, which it does not inherit |

Backups are made by jobs: a role with REPLICATION can copy every file of the cluster, and jobs is the one that reads all
rows already. The owner gets it not, since nothing that runs by itself logs in as the owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import psycopg

RoleName = Literal["owner", "app", "analyst", "jobs"]
ROLES: Final[tuple[RoleName, ...]] = ("owner", "app", "analyst", "jobs")

#: SET without INHERIT is an option of the grant from here on; before that, an attribute of the role.
_HAS_GRANT_OPTIONS: Final = 160000


def role_name(prefix: str, role: RoleName) -> str:
    """storekeeper_app. Roles belong to the cluster, so an installation's carry its prefix."""
    return f"{prefix}_{role}"


def make_roles(connection: psycopg.Connection[Any], prefix: str, passwords: Mapping[RoleName, str]) -> tuple[str, ...]:
    """Makes the roles that are missing, and gives the connection's database to the owner; returns the names of those
    made. One transaction, which the caller commits; it needs a superuser.

    What a superuser of before had in the database is the owner's from the moment on at which that role is made.
    """
    names = {role: role_name(prefix, role) for role in ROLES}
    known = {
        row[0]
        for row in connection.execute(
            "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)", (list(names.values()),)
        )
    }
    for role, name in names.items():
        if name not in known:
            _make(connection, name, passwords[role], replication=role == "jobs")
    if names["jobs"] not in known or names["owner"] not in known:
        inherits = connection.info.server_version < _HAS_GRANT_OPTIONS
        how = "" if inherits else " WITH INHERIT FALSE, SET TRUE"
        _run(connection, "GRANT {} TO {}" + how, names["owner"], names["jobs"])
    database = connection.info.dbname
    owned = connection.execute(
        "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = %s", (database,)
    ).fetchone()
    if owned != (names["owner"],):
        _run(connection, "ALTER DATABASE {} OWNER TO {}", database, names["owner"])
    if names["owner"] not in known:
        from psycopg import sql

        connection.execute(sql.SQL(_GIVE_ALL).format(owner=sql.Literal(names["owner"])))
    return tuple(name for name in names.values() if name not in known)


def set_password(connection: psycopg.Connection[Any], name: str, password: str) -> None:
    """Gives a role a password; what is sent, and might be logged, is its verifier alone."""
    _run(connection, f"ALTER ROLE {{}} PASSWORD '{_verifier(connection, name, password)}'", name)


def _make(connection: psycopg.Connection[Any], name: str, password: str, *, replication: bool) -> None:
    attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT"
    attributes += " REPLICATION" if replication else " NOREPLICATION"
    _run(connection, f"CREATE ROLE {{}} {attributes} PASSWORD '{_verifier(connection, name, password)}'", name)


def _verifier(connection: psycopg.Connection[Any], name: str, password: str) -> str:
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    return verifier.decode()


def _run(connection: psycopg.Connection[Any], statement: str, *names: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


#: Schemas, tables, views, sequences, functions and types of the superuser who asks, extensions' apart. A sequence that
#: belongs to a column goes with its table.
_GIVE_ALL: Final = """
DO $block$
DECLARE
    new_owner CONSTANT text := {owner};
    mine CONSTANT oid := current_user::regrole;
    thing record;
BEGIN
    FOR thing IN
        WITH spaces AS (
            SELECT oid FROM pg_catalog.pg_namespace
            WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
        ), whole AS (
            SELECT 1 AS place, 'SCHEMA' AS kind, quote_ident(nspname) AS name, oid, 'pg_namespace'::regclass AS class
            FROM pg_catalog.pg_namespace
            WHERE oid IN (SELECT oid FROM spaces) AND nspowner = mine AND nspname <> 'public'
            UNION ALL
            SELECT 2, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, oid::regclass::text, oid, 'pg_class'::regclass
            FROM pg_catalog.pg_class
            WHERE relnamespace IN (SELECT oid FROM spaces) AND relowner = mine
                AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
            UNION ALL
            SELECT 3, 'ROUTINE', oid::regprocedure::text, oid, 'pg_proc'::regclass
            FROM pg_catalog.pg_proc
            WHERE pronamespace IN (SELECT oid FROM spaces) AND proowner = mine AND prokind <> 'a'
            UNION ALL
            SELECT 4, 'TYPE', oid::regtype::text, oid, 'pg_type'::regclass
            FROM pg_catalog.pg_type
            WHERE typnamespace IN (SELECT oid FROM spaces) AND typowner = mine AND typtype IN ('e', 'd')
        )
        SELECT kind, name FROM whole
        WHERE NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS link
            WHERE link.classid = whole.class AND link.objid = whole.oid
                AND (link.deptype = 'e' OR (whole.kind = 'SEQUENCE' AND link.deptype IN ('a', 'i')))
        )
        ORDER BY place, name
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', thing.kind, thing.name, new_owner);
    END LOOP;
END
$block$
"""
