"""What somebody has set on a TimescaleDB server is seen: policies are reported, settings are set right by `migrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from series_servers import SeriesServer, parametrize_engines
from storekeeper import Catalog, Hypertable, Platform, connect, days, years
from storekeeper.domains import CATALOG
from storekeeper.migrations import apply, drift, plan
from storekeeper.migrations.destroying import databases, drop_everything
from storekeeper.migrations.steps import Step
from storekeeper.servers import RunningStack

Opened = Callable[..., Platform]
Psql = psycopg.Connection[tuple[object, ...]]

pytestmark = [pytest.mark.timescale, pytest.mark.one_backend]

INVEST = CATALOG.domain("invest")
SMALL = Catalog((INVEST,), backups=CATALOG.backups)

#: In words that every version knows.
_POLICIES = """
SELECT add_retention_policy('invest.intraday_prices', INTERVAL '30 days');
SELECT add_compression_policy('invest.intraday_prices', compress_after => INTERVAL '7 days');
SELECT add_continuous_aggregate_policy(
    'invest.stock_prices_5min', INTERVAL '30 days', INTERVAL '1 hour', INTERVAL '1 hour');
"""
_SETTINGS = """
ALTER TABLE invest.stock_prices SET (timescaledb.compress_segmentby = '', timescaledb.compress_orderby = 'time');
ALTER TABLE invest.market_indices SET (timescaledb.compress = false);
SELECT set_chunk_time_interval('invest.intraday_prices', INTERVAL '2 days');
SELECT set_chunk_time_interval('invest.stock_prices_5min', INTERVAL '1 day');
DROP TRIGGER storekeeper_note_update ON invest.portfolio_snapshots;
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_engines(metafunc)


@pytest.fixture
def timescale_url(series_server: SeriesServer) -> Iterator[str]:
    with series_server.database("SELECT 1") as url:
        yield url


@pytest.fixture
def platform(opened: Opened, postgres_url: str, timescale_url: str) -> Platform:
    platform = opened(postgres_url, timescale_url, catalog=SMALL)
    apply(platform)
    return platform


def run(url: str, script: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement.encode())


def test_policies_are_reported_with_what_removes_them(platform: Platform, timescale_url: str) -> None:
    assert drift(platform) == ()
    run(timescale_url, _POLICIES)
    found = drift(platform)
    assert [line.split(" (job")[0] for line in found] == [
        "timescale: policy invest.intraday_prices has policy_retention",
        "timescale: policy invest.intraday_prices has policy_compression",
        "timescale: policy invest.stock_prices_5min has policy_refresh_continuous_aggregate",
    ]
    planned = plan(platform)
    assert planned.todo == (), "what somebody wanted is theirs to take away"
    assert [f"timescale: policy {step.target} {step.detail}" for step in planned.reported] == list(found)
    assert apply(platform).steps == ()
    assert drift(platform) == found
    run(timescale_url, ";".join(line.rpartition(" do that: ")[2] for line in found))
    assert drift(platform) == ()


def test_pruned_they_are_removed_one_by_one_and_each_is_said(platform: Platform, timescale_url: str) -> None:
    run(timescale_url, _POLICIES)
    wanted = plan(platform, prune=True)
    assert [(step.store, step.action, step.target, step.detail.partition(" (job")[0]) for step in wanted.steps] == [
        ("timescale", "drop policy", "invest.intraday_prices", "policy_retention"),
        ("timescale", "drop policy", "invest.intraday_prices", "policy_compression"),
        ("timescale", "drop policy", "invest.stock_prices_5min", "policy_refresh_continuous_aggregate"),
    ]
    run(timescale_url, "SELECT remove_retention_policy('invest.intraday_prices')")  # somebody was faster
    told: list[Step] = []
    assert apply(platform, wanted, tell=told.append).steps == wanted.steps[1:] == tuple(told)
    assert drift(platform) == ()
    with psycopg.connect(timescale_url) as connection:
        left = connection.execute(
            "SELECT count(*) FROM timescaledb_information.jobs WHERE hypertable_schema IN ('invest', "
            "'_timescaledb_internal')"
        )
        assert left.fetchone() == (0,)


def test_what_was_set_otherwise_is_set_right(platform: Platform, timescale_url: str) -> None:
    run(timescale_url, _SETTINGS)
    wanted = {
        ("set columnstore", "invest.stock_prices"),
        ("set columnstore", "invest.market_indices"),
        ("set chunk", "invest.intraday_prices"),
        ("set chunk", "invest.stock_prices_5min"),
        ("set capture", "invest.portfolio_snapshots"),
    }
    planned = plan(platform)
    assert {(step.action, step.target) for step in planned.steps} == wanted
    assert len(drift(platform)) == len(wanted)
    assert set(apply(platform, planned).steps) == set(planned.steps)
    assert plan(platform).steps == ()
    assert drift(platform) == ()


def test_rollups_and_indexes_that_are_not_as_declared(platform: Platform, timescale_url: str) -> None:
    run(
        timescale_url,
        """
        ALTER MATERIALIZED VIEW invest.stock_prices_5min SET (timescaledb.materialized_only = false);
        DROP MATERIALIZED VIEW invest.stock_prices_1h;
        CREATE MATERIALIZED VIEW invest.stock_prices_1h WITH (timescaledb.continuous) AS
            SELECT time_bucket(INTERVAL '1 hour', bucket) AS bucket, symbol,
                first(open, bucket)::numeric(18, 6) AS open,
                max(high)::numeric(18, 6) AS high, max(low)::numeric(18, 6) AS low,
                last(close, bucket)::numeric(18, 6) AS close, sum(volume) AS volume, sum(notional) AS notional,
                sum(count)::bigint AS count
            FROM invest.stock_prices_5min GROUP BY 1, 2 WITH NO DATA;
        CREATE INDEX by_price ON invest.intraday_prices (price)
        """,
    )
    assert set(drift(platform)) == {
        "timescale: remove_index invest.intraday_prices.by_price",
        "timescale: modify_rollup invest.stock_prices_5min shows rows that were not refreshed yet",
        "timescale: modify_rollup invest.stock_prices_1h is made of another SELECT",
        # a new one has another's chunks
        "timescale: set chunk invest.stock_prices_1h 30d → 365d, of those that the server makes itself",
    }


def _changed(hypertable: Hypertable) -> Hypertable:
    if hypertable.name == "invest.market_indices":
        return replace(hypertable, chunk=days(7), order_by=("time",), late_rows="keep")
    return replace(hypertable, chunk=years(2)) if hypertable.name == "invest.stock_prices" else hypertable


def test_a_changed_declaration_is_carried_out(opened: Opened, platform: Platform, timescale_url: str) -> None:
    changed = replace(INVEST, hypertables=tuple(map(_changed, INVEST.hypertables)))
    other = opened(platform.url("postgres"), timescale_url, catalog=Catalog((changed,), backups=CATALOG.backups))
    done = {(step.action, step.target) for step in apply(other).steps}
    assert {("set columnstore", "invest.market_indices"), ("set chunk", "invest.stock_prices")} <= done
    assert ("set late rows", "invest.market_indices") in done
    assert plan(other).steps == ()
    assert drift(other) == ()
    with psycopg.connect(timescale_url) as connection:
        intervals = connection.execute(
            "SELECT hypertable_name::text, extract(day FROM time_interval)::int "
            "FROM timescaledb_information.dimensions WHERE hypertable_schema = 'invest' ORDER BY 1"
        ).fetchall()
    assert dict(intervals) == {
        "intraday_prices": 1,
        "market_indices": 7,
        "portfolio_snapshots": 30,
        "stock_prices": 730,
    }


def test_all_of_it_can_be_dropped(
    stack: RunningStack, postgres_url: str, timescale_url: str, mongo_prefix: str, redis_url: str
) -> None:
    with connect(
        catalog=SMALL,
        postgres_url=postgres_url,
        timescale_url=timescale_url,
        mongo_url=stack.urls.mongo,
        mongo_database=mongo_prefix,
        redis_url=redis_url,
    ) as platform:
        apply(platform)
        drop_everything(platform, destroy=",".join(databases(platform)))
        assert plan(platform).todo
        apply(platform)
        assert drift(platform) == ()
