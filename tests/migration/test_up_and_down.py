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
Revisions = Callable[[str, str], list[str]]

NAMES = [domain.name for domain in CATALOG.domains]
#: The platform's own branch goes up first, and down last.
BRANCHES = ["storekeeper", *NAMES]
DECLARED = {table.fullname for domain in CATALOG.domains for table in domain.tables}
DECLARED |= {hypertable.name for hypertable in CATALOG.hypertables}
#: What remains of the platform itself.
VERSIONS = {"storekeeper.alembic_postgres", "storekeeper.alembic_timescale"}


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


def newest(revisions: Revisions, store: str, branches: list[str]) -> list[str]:
    return [revisions(branch, store)[-1] for branch in branches if revisions(branch, store)]


def test_up_and_down_and_up_again(platform: Platform, revisions: Revisions) -> None:
    planned = plan(platform)
    assert [(step.store, step.target) for step in planned.steps if step.store != "mongo"] == [
        *(("postgres", one) for branch in BRANCHES for one in revisions(branch, "postgres")),
        *(("timescale", one) for one in revisions("storekeeper", "timescale")),
        ("timescale", "partitions"),
        *(("timescale", one) for name in NAMES for one in revisions(name, "timescale")),
        *(("postgres", life.name) for life in CATALOG.lifecycles if life.partition is not None),
        *(("postgres", domain.name) for domain in CATALOG.domains if domain.protections),
        ("postgres", "catalogue"),
    ]
    assert apply(platform, planned).steps == planned.steps
    full = tables(platform)
    assert DECLARED | {"storekeeper.runs", "storekeeper.watermarks"} <= full

    for branch in reversed(BRANCHES):
        assert rollback(platform, branch, None) == tuple(
            f"{store}: {one}" for store in ("postgres", "timescale") for one in reversed(revisions(branch, store))
        )
        assert not {name for name in tables(platform) if name.startswith(f"{branch}.")} - VERSIONS
    assert rows(platform, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$|^public$'") == [
        ("storekeeper",)
    ]
    assert tables(platform) == VERSIONS

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


def test_the_version_tables_say_where_each_store_is(platform: Platform, revisions: Revisions) -> None:
    apply(platform)
    for store in ("postgres", "timescale"):
        with psycopg.connect(platform.url(store)) as connection:
            told = connection.execute(f"SELECT version_num FROM storekeeper.alembic_{store} ORDER BY 1").fetchall()
        assert told == [(name,) for name in newest(revisions, store, sorted(BRANCHES))]


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


def test_the_platform_goes_last(opened: Opened, migrated_url: str, revisions: Revisions) -> None:
    platform = opened(migrated_url)
    with pytest.raises(MigrationError) as refused:
        rollback(platform, "storekeeper", None)
    assert refused.value.cause == f"{', '.join(newest(revisions, 'postgres', sorted(NAMES)))} stand on it"
    *others, last = NAMES
    for name in others:
        rollback(platform, name, None)
    with pytest.raises(MigrationError, match=f"^[^,]*{revisions(last, 'postgres')[-1]} stand on it"):
        rollback(platform, "storekeeper")


def test_a_domain_that_is_not_there_cannot_go_back(opened: Opened, migrated_url: str) -> None:
    with pytest.raises(DeclarationError, match="no such domain"):
        rollback(opened(migrated_url), "nowhere")


def test_there_is_nothing_to_take_back_before_the_first_migration(opened: Opened, postgres_url: str) -> None:
    assert rollback(opened(postgres_url), "invest") == ()


def test_domains_that_were_left_out_stay(opened: Opened, migrated_url: str, revisions: Revisions) -> None:
    alone = opened(migrated_url, catalog=Catalog((Domain("lab"),)))
    before = tables(alone)
    planned = plan(alone)
    assert {(step.store, step.target) for step in planned.reported} == {
        (store, revision) for store in ("postgres", "timescale") for revision in newest(revisions, store, NAMES)
    }
    apply(alone)
    assert tables(alone) == before


def test_another_domain_goes_up_and_down_beside_them(
    opened: Opened, migrated_url: str, lab: Catalog, revisions: Revisions
) -> None:
    beside = opened(migrated_url, catalog=lab)
    before = tables(beside)
    assert "lab_0001" in [step.target for step in apply(beside).steps]
    assert rollback(beside, "lab") == ("postgres: lab_0001",)
    versions = rows(beside, "SELECT version_num FROM storekeeper.alembic_postgres ORDER BY 1")
    assert versions == [(name,) for name in newest(revisions, "postgres", sorted(BRANCHES))]
    assert tables(beside) == before
    with pytest.raises(MigrationError, match=f"{revisions('invest', 'postgres')[-1]}.* stand on it"):
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
    assert (applied.digest, applied.domains) == (CATALOG.digest(), tuple(NAMES))
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
