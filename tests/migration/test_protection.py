"""Protection as state: seen where it is not as declared, made again, and left alone by who knows one role only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from storekeeper import Catalog, Platform, connect
from storekeeper.domains import CATALOG
from storekeeper.migrations import apply, drift, plan, rollback
from storekeeper.migrations.connection import connected
from storekeeper.migrations.history import SqlStore
from storekeeper.migrations.protection import Protecting
from storekeeper.migrations.steps import Step

STORES: tuple[SqlStore, ...] = ("postgres", "timescale")


@pytest.fixture
def platform(role_settings: dict[str, Any]) -> Iterator[Platform]:
    with connect(stores=("postgres",), role="owner", **role_settings) as opened:
        yield opened


@pytest.fixture
def administrator(migrated_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        yield connection


def left(platform: Platform, *, prune: bool = False) -> list[tuple[str, str, str]]:
    """What a migration would do to the protection of both SQL stores, and what it would report."""
    steps: list[Step] = []
    for store in STORES:
        with connected(platform, store) as connection:
            steps += Protecting(platform, store, connection, prune=prune).steps()
    return [(step.action, step.target, step.detail) for step in steps]


def protect(platform: Platform, *, prune: bool = False) -> None:
    for store in STORES:
        with connected(platform, store) as connection:
            protecting = Protecting(platform, store, connection, prune=prune)
            for step in protecting.steps():
                if step.action == "protect":
                    protecting.carry_out(step.target)


DIFFERENCES = [
    ("ALTER TABLE invest.users DISABLE ROW LEVEL SECURITY", "invest.users", "row-level security"),
    ("DROP POLICY user_data_isolation ON invest.users", "invest.users", "policy user_data_isolation"),
    ("ALTER POLICY user_data_isolation ON invest.users USING (true)", "invest.users", "policy user_data_isolation"),
    ("ALTER POLICY jobs_all ON invest.users TO PUBLIC", "invest.users", "policy jobs_all"),
    ("ALTER POLICY staff_reads ON deals.users USING (true)", "deals.users", "policy staff_reads"),
    ("DROP POLICY staff_inserts ON deals.goals", "deals.goals", "policy staff_inserts"),
    ("COMMENT ON POLICY jobs_all ON invest.users IS NULL", "invest.users", "policy jobs_all"),
    ("REVOKE SELECT ON invest.users FROM storekeeper_app", "invest.users", "grants SELECT to storekeeper_app"),
    (
        "GRANT SELECT ON invest.users TO storekeeper_analyst",
        "invest.users",
        "takes SELECT from storekeeper_analyst; grants SELECT of columns to storekeeper_analyst",
    ),
    (
        "GRANT SELECT (email) ON invest.users TO storekeeper_analyst",
        "invest.users",
        "takes SELECT of columns from storekeeper_analyst",
    ),
    ("GRANT TRUNCATE ON invest.users TO storekeeper_app", "invest.users", "takes TRUNCATE from storekeeper_app"),
    ("GRANT SELECT ON invest.sessions TO PUBLIC", "invest.sessions", "takes SELECT from public"),
    (
        "GRANT SELECT ON invest.stock_prices_5min TO storekeeper_app",
        "invest.stock_prices_5min",
        "takes SELECT from storekeeper_app",
    ),
    (
        "DROP VIEW invest.shown_stock_prices_5min",
        "invest.stock_prices_5min",
        "view for services; grants SELECT to storekeeper_app",
    ),
    (
        "ALTER VIEW invest.shown_stock_prices_5min SET (security_barrier = false)",
        "invest.stock_prices_5min",
        "view for services; grants SELECT to storekeeper_app",
    ),
    ("REVOKE USAGE ON SCHEMA invest FROM storekeeper_jobs", "invest", "grants USAGE to storekeeper_jobs"),
    (
        "GRANT INSERT ON storekeeper.audit_log TO storekeeper_app",
        "storekeeper.audit_log",
        "takes INSERT from storekeeper_app; grants INSERT of columns to storekeeper_app",
    ),
    (
        "GRANT EXECUTE ON FUNCTION invest.login_of(text) TO PUBLIC",
        "invest",
        "takes EXECUTE of login_of from public",
    ),
]


def test_what_differs_is_seen_and_made_as_declared(platform: Platform, administrator: psycopg.Connection[Any]) -> None:
    assert left(platform) == []
    for statement, target, what in DIFFERENCES:
        administrator.execute(statement.encode())
        (step, *more) = left(platform)
        assert step == ("protect", target, what), statement
        # a right to a schema or a function is a matter of both stores, where these share a database
        assert set(more) <= {step}, statement
        protect(platform)
        assert left(platform) == [], statement


def test_it_is_drift(platform: Platform, administrator: psycopg.Connection[Any]) -> None:
    assert drift(platform) == ()
    administrator.execute("DROP POLICY user_data_isolation ON invest.users")
    administrator.execute("DROP TRIGGER users_updated_at ON invest.users")
    administrator.execute("ALTER TABLE invest.portfolios DISABLE TRIGGER portfolios_updated_at")
    assert drift(platform) == (
        "postgres: add_trigger invest.users_updated_at",
        "postgres: add_trigger invest.portfolios_updated_at",
        "postgres: protect invest.users: policy user_data_isolation",
    )


def test_what_others_made_is_reported_and_goes_only_when_told(
    platform: Platform, administrator: psycopg.Connection[Any]
) -> None:
    administrator.execute("CREATE POLICY theirs ON invest.users FOR SELECT USING (true)")
    administrator.execute("GRANT SELECT ON invest.portfolios TO pg_monitor")
    found = left(platform)
    assert found == [
        ("report", "invest.users", "policy theirs: made by somebody else"),
        ("report", "invest.portfolios", "pg_monitor has SELECT, which nobody declares"),
    ]
    protect(platform)
    assert left(platform) == found
    protect(platform, prune=True)
    assert left(platform) == []


def test_who_knows_one_role_alone_leaves_what_the_others_need(migrated_url: str, role_settings: dict[str, Any]) -> None:
    for url in (migrated_url, role_settings["postgres_owner_url"]):
        with connect(stores=("postgres",), postgres_url=url, timescale_url=url) as alone:
            assert left(alone) == []
            assert drift(alone) == ()


def test_where_there_is_one_role_tables_are_closed_to_strangers(postgres_url: str) -> None:
    relational = Catalog(tuple(replace(domain, collections=()) for domain in CATALOG.domains))
    with connect(
        stores=("postgres",), catalog=relational, postgres_url=postgres_url, timescale_url=postgres_url
    ) as one:
        assert {"protect"} <= {step.action for step in plan(one).todo}
        apply(one)
        assert plan(one).steps == ()
    with psycopg.connect(postgres_url) as connection:
        policies = connection.execute("SELECT DISTINCT polroles::text FROM pg_catalog.pg_policy").fetchall()
    assert policies == [("{0}",)]


def test_a_rollback_leaves_what_stays_protected(platform: Platform, administrator: psycopg.Connection[Any]) -> None:
    assert rollback(platform, "invest", 1)
    query = "SELECT count(*) FROM pg_catalog.pg_policies WHERE schemaname = 'invest' AND policyname = %s"
    assert administrator.execute(query, ("user_data_isolation",)).fetchone() == (10,)
    assert left(platform) == []
    assert rollback(platform, "invest", None)
    assert administrator.execute("SELECT to_regnamespace('invest')").fetchone() == (None,)
