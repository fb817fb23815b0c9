"""Migrating: from nothing to head and back, in one database or two; the second time there is nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper import Catalog, Domain, Platform
from storekeeper.domains import BACKUPS, CATALOG
from storekeeper.errors import DeclarationError, MigrationError
from storekeeper.ledger.tables import POSTGRES, TIMESCALE
from storekeeper.migrations import applied_catalogue, apply, catalog_matches, drift, plan, rollback
from storekeeper.stores.sql.urls import sqlalchemy_url

Opened = Callable[..., Platform]


@pytest.fixture(params=["one database", "two databases"])
def platform(request: pytest.FixtureRequest, opened: Opened, postgres_url: str, other_url: str) -> Platform:
    return opened(postgres_url, other_url if request.param == "two databases" else None)


def tables(platform: Platform) -> set[str]:
    """Every table outside of PostgreSQL's own schemas, in both databases."""
    found: set[str] = set()
    for store in ("postgres", "timescale"):
        with psycopg.connect(platform.url(store)) as connection:
            found |= {
                row[0]
                for row in connection.execute(
                    "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') "
                    "AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
                )
            }
    return {name if "." in name else f"storekeeper.{name}" for name in found}


def rows(platform: Platform, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(platform.url("postgres")) as connection:
        return connection.execute(query.encode()).fetchall()


def test_up_and_down_and_up_again(platform: Platform) -> None:
    planned = plan(platform)
    assert [(step.store, step.target) for step in planned.steps if step.store != "mongo"] == [
        *(("postgres", revision) for revision in ("storekeeper_0001", "storekeeper_0002")),
        *(("postgres", revision) for revision in ("invest_0001", "invest_0002")),
        *(("timescale", revision) for revision in ("storekeeper_0001", "storekeeper_0002")),
        ("timescale", "partitions"),
        ("timescale", "invest_0001"),
        *(("postgres", f"invest.{table}") for table in ("transactions", "user_activity_log")),
        ("postgres", "catalogue"),
    ]
    assert apply(platform, planned).steps == planned.steps
    full = tables(platform)
    assert {"invest.users", "invest.intraday_prices", "storekeeper.runs", "storekeeper.watermarks"} <= full

    assert rollback(platform, "invest", None) == (
        "timescale: invest_0001",
        "postgres: invest_0002",
        "postgres: invest_0001",
    )
    assert not {name for name in tables(platform) if name.startswith("invest.")}
    assert rows(platform, "SELECT FROM pg_namespace WHERE nspname = 'invest'") == []
    assert rollback(platform, "storekeeper", None) == tuple(
        f"{store}: storekeeper_{number}" for store in ("timescale", "postgres") for number in ("0002", "0001")
    )
    assert tables(platform) == {"storekeeper.alembic_postgres", "storekeeper.alembic_timescale"}

    apply(platform)
    assert tables(platform) == full


def test_the_second_time_changes_nothing(platform: Platform) -> None:
    apply(platform)
    everything = "SELECT oid, relfilenode, xmin FROM pg_class ORDER BY oid"
    before = rows(platform, everything)
    assert plan(platform).steps == ()
    assert apply(platform).steps == ()
    assert rows(platform, everything) == before
    assert rows(platform, "SELECT count(*) FROM storekeeper.applied_catalogues") == [(1,)]


def test_a_plan_changes_nothing(platform: Platform) -> None:
    plan(platform)
    assert tables(platform) == set()
    assert platform.mongo.actual_collections() == ()


def test_the_version_tables_say_where_each_store_is(platform: Platform) -> None:
    apply(platform)
    newest = {"postgres": "invest_0002", "timescale": "invest_0001"}
    for store in ("postgres", "timescale"):
        with psycopg.connect(platform.url(store)) as connection:
            told = connection.execute(f"SELECT version_num FROM storekeeper.alembic_{store} ORDER BY 1").fetchall()
        assert told == [(newest[store],), ("storekeeper_0002",)]


def test_what_is_migrated_is_as_declared(platform: Platform) -> None:
    apply(platform)
    assert drift(platform) == ()


def test_the_ledgers_tables_are_those_of_their_revisions(
    migrated_url: str, other_url: str, shape_of: Callable[..., dict[str, Any]]
) -> None:
    engine = sa.create_engine(sqlalchemy_url(other_url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA storekeeper"))
        POSTGRES.create_all(connection)
        TIMESCALE.create_all(connection)
    declared = shape_of(other_url, "storekeeper")
    made = shape_of(migrated_url, "storekeeper")
    assert set(made) == {*declared, "alembic_postgres", "alembic_timescale"}
    for table, lines in declared.items():
        assert made[table] == lines, table


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE invest.users ADD COLUMN nickname text", "remove_column invest.users.nickname"),
        ("ALTER TABLE invest.users ALTER COLUMN phone SET NOT NULL", "modify_nullable invest.users.phone"),
        ("ALTER TABLE invest.users ALTER COLUMN subscription_tier SET DEFAULT 'x'", "modify_default"),
        ("ALTER TABLE invest.sessions ALTER COLUMN user_agent TYPE varchar(9)", "modify_type"),
        ("DROP INDEX invest.idx_users_created_at", "add_index invest.users.idx_users_created_at"),
        ("DROP INDEX invest.idx_intraday_symbol_time", "add_index invest.intraday_prices.idx_intraday_symbol_time"),
        ("ALTER TABLE invest.sessions DROP CONSTRAINT sessions_user_id_fkey", "add_fk invest.sessions"),
        ("CREATE TABLE invest.scratch (id int)", "remove_table invest.scratch"),
        ("ALTER TABLE storekeeper.runs DROP COLUMN reason", "add_column storekeeper.runs.reason"),
        ("DROP MATERIALIZED VIEW invest.portfolio_summary CASCADE", "add_view invest.portfolio_summary"),
        ("DROP INDEX invest.idx_portfolio_summary_id", "add_index invest.portfolio_summary.idx_portfolio_summary_id"),
        (
            "DROP MATERIALIZED VIEW invest.portfolio_summary CASCADE; "
            "CREATE MATERIALIZED VIEW invest.portfolio_summary AS SELECT id, name FROM invest.portfolios",
            "modify_view invest.portfolio_summary",
        ),
        (
            "DROP TABLE invest.user_activity_log; CREATE TABLE invest.user_activity_log (id int)",
            "repartition invest.user_activity_log by RANGE (created_at), not at all",
        ),
    ],
)
def test_a_change_by_hand_is_drift(opened: Opened, migrated_url: str, change: str, told: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute(change.encode())
    found = drift(opened(migrated_url))
    assert any(told in line for line in found), found


def test_chunks_are_no_drift(opened: Opened, migrated_url: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "CREATE TABLE invest.stock_prices_p20140101 PARTITION OF invest.stock_prices "
            "FOR VALUES FROM ('2014-01-01Z') TO ('2015-01-01Z')"
        )
    assert drift(opened(migrated_url)) == ()


def test_nothing_is_dropped_that_others_put_into_a_schema(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    with psycopg.connect(migrated_url) as connection:
        connection.execute("CREATE TABLE invest.of_a_user (id int)")
    rollback(platform, "invest", None)
    assert {name for name in tables(platform) if name.startswith("invest.")} == {"invest.of_a_user"}
    apply(platform)


def test_the_platform_goes_last(opened: Opened, migrated_url: str) -> None:
    with pytest.raises(MigrationError, match="invest_0001 stand on it"):
        rollback(opened(migrated_url), "storekeeper", None)


def test_a_revision_goes_down_and_up_by_itself(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    full = tables(platform)
    assert rollback(platform, "invest") == ("timescale: invest_0001", "postgres: invest_0002")
    assert {name for name in tables(platform) if name.startswith("invest.")} == {
        f"invest.{name}" for name in ("users", "sessions", "portfolios", "portfolio_assets")
    }
    assert rows(platform, "SELECT proname FROM pg_proc WHERE pronamespace = 'invest'::regnamespace") == []
    apply(platform)
    assert tables(platform) == full
    assert drift(platform) == ()


def test_a_domain_that_is_not_there_cannot_go_back(opened: Opened, migrated_url: str) -> None:
    with pytest.raises(DeclarationError, match="no such domain"):
        rollback(opened(migrated_url), "nowhere")


def test_there_is_nothing_to_take_back_before_the_first_migration(opened: Opened, postgres_url: str) -> None:
    assert rollback(opened(postgres_url), "invest") == ()


def test_a_domain_that_was_left_out_stays(opened: Opened, migrated_url: str) -> None:
    alone = opened(migrated_url, catalog=Catalog((Domain("lab"),)))
    planned = plan(alone)
    assert {(step.store, step.target) for step in planned.reported} == {
        ("postgres", "invest_0002"),
        ("timescale", "invest_0001"),
    }
    apply(alone)
    assert "invest.users" in tables(alone)


def test_other_domains_go_up_and_down_beside_it(opened: Opened, migrated_url: str, lab: Catalog) -> None:
    beside = opened(migrated_url, catalog=lab)
    assert "lab_0001" in [step.target for step in apply(beside).steps]
    assert rollback(beside, "lab") == ("postgres: lab_0001",)
    versions = rows(beside, "SELECT version_num FROM storekeeper.alembic_postgres ORDER BY 1")
    assert versions == [("invest_0002",), ("storekeeper_0002",)]
    assert "invest.users" in tables(beside)
    with pytest.raises(MigrationError, match="invest_0001 stand on it"):
        rollback(beside, "storekeeper")


def test_a_store_of_newer_code_is_left_alone(opened: Opened, migrated_url: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "UPDATE storekeeper.alembic_postgres SET version_num = 'invest_0099' WHERE version_num ~ 'inv'"
        )
    for act in (plan, apply):
        with pytest.raises(MigrationError, match="invest_0099"):
            act(opened(migrated_url))


def test_the_catalogue_in_force_is_on_record(opened: Opened, postgres_url: str) -> None:
    platform = opened(postgres_url)
    apply(platform)
    applied = applied_catalogue(platform)
    assert applied is not None
    assert (applied.digest, applied.domains) == (CATALOG.digest(), ("invest",))
    assert catalog_matches(platform)

    other = opened(postgres_url, catalog=Catalog(CATALOG.domains, version="2", backups=BACKUPS))
    assert not catalog_matches(other)
    (step,) = plan(other).steps
    assert (step.action, step.target) == ("record", "catalogue")
    assert f"in place of 1 ({applied.digest[:12]})" in step.detail
    apply(other)
    assert catalog_matches(other)
    assert not catalog_matches(platform)

    rollback(other, "invest")
    assert not catalog_matches(other), "what was taken back is in force no more"


def test_a_plan_is_done_as_it_was_shown(opened: Opened, postgres_url: str) -> None:
    platform = opened(postgres_url)
    planned = plan(platform)
    apply(platform)
    assert apply(platform, planned).steps == (), "what another process has done is left out"
    rollback(platform, "invest")
    empty = plan(opened(postgres_url, catalog=Catalog(())))
    with pytest.raises(MigrationError, match="more to do than was planned"):
        apply(platform, empty)
