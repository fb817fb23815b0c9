"""The roles of the embedded cluster: made once, each with what it is for, and the owner of what was there before."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from storekeeper.backups.cluster import inspect_cluster
from storekeeper.servers import RunningStack
from storekeeper.servers.roles import ROLES, RoleName, make_roles, role_name


def test_each_role_logs_in_and_may_what_it_is_for(stack: RunningStack) -> None:
    attributes: dict[str, Any] = {}
    for role in ROLES:
        with psycopg.connect(stack.urls.postgres_as(role), autocommit=True) as connection:
            attributes[role] = connection.execute(
                "SELECT current_user, rolsuper, rolcreaterole, rolbypassrls, rolreplication, rolinherit, "
                "has_database_privilege(current_database(), 'CREATE'), pg_has_role('storekeeper_owner', 'SET') "
                "FROM pg_catalog.pg_roles WHERE rolname = current_user"
            ).fetchone()
    nothing = (False, False, False)
    assert attributes == {
        "owner": ("storekeeper_owner", *nothing, False, False, True, True),
        "app": ("storekeeper_app", *nothing, False, False, False, False),
        "analyst": ("storekeeper_analyst", *nothing, False, False, False, False),
        "jobs": ("storekeeper_jobs", *nothing, True, False, False, True),
    }


def test_jobs_may_copy_the_cluster(stack: RunningStack) -> None:
    assert inspect_cluster(stack.urls.postgres_as("jobs")).no_base_backup is None
    assert (
        inspect_cluster(stack.urls.postgres_as("app")).no_base_backup
        == "the role storekeeper_app has no REPLICATION attribute"
    )


@pytest.fixture
def used(stack: RunningStack) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A database in which a superuser has made things, and a prefix that no role has."""
    name, prefix = f"test_{secrets.token_hex(6)}", f"r{secrets.token_hex(4)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as administrator:
        administrator.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = urlsplit(stack.urls.postgres)._replace(path=f"/{name}").geturl()
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection, prefix
        administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for role in ROLES:
            administrator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role_name(prefix, role))))


def test_what_a_superuser_had_becomes_the_owners_once(used: tuple[psycopg.Connection[Any], str]) -> None:
    connection, prefix = used
    passwords: dict[RoleName, str] = {role: secrets.token_hex(8) for role in ROLES}
    connection.execute("CREATE EXTENSION IF NOT EXISTS plpgsql")
    connection.execute('CREATE SCHEMA "Odd"')
    connection.execute(
        'CREATE TABLE "Odd"."Parts" (id int GENERATED ALWAYS AS IDENTITY, at date) PARTITION BY RANGE (at)'
    )
    connection.execute(
        """CREATE TABLE "Odd".part PARTITION OF "Odd"."Parts" FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"""
    )
    connection.execute('CREATE TABLE "Odd".old (id serial, note text)')
    connection.execute('CREATE VIEW "Odd".shown AS SELECT * FROM "Odd".old')
    connection.execute('CREATE MATERIALIZED VIEW "Odd".kept AS SELECT * FROM "Odd".old')
    connection.execute('CREATE SEQUENCE "Odd".numbers')
    connection.execute("""CREATE TYPE "Odd".mood AS ENUM ('good')""")
    connection.execute("""CREATE FUNCTION "Odd".one() RETURNS int LANGUAGE sql AS 'SELECT 1'""")
    owner = role_name(prefix, "owner")
    with connection.transaction():
        made = make_roles(connection, prefix, passwords)
    assert made == tuple(role_name(prefix, role) for role in ROLES)
    query = """
        SELECT DISTINCT pg_get_userbyid(owner) FROM (
            SELECT relowner AS owner FROM pg_class WHERE relnamespace = '"Odd"'::regnamespace
            UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = '"Odd"'::regnamespace
            UNION ALL SELECT typowner FROM pg_type WHERE typnamespace = '"Odd"'::regnamespace
            UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'Odd'
            UNION ALL SELECT datdba FROM pg_database WHERE datname = current_database()
        ) AS thing"""
    assert connection.execute(query).fetchall() == [(owner,)]
    with connection.transaction():
        assert make_roles(connection, prefix, passwords) == ()
    connection.execute('CREATE TABLE "Odd".mine (id int)')
    with connection.transaction():
        make_roles(connection, prefix, passwords)
    (kept,) = connection.execute("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'mine'").fetchone() or (
        "",
    )
    assert kept == "storekeeper", "what a superuser makes afterwards is nobody else's"
