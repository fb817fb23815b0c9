"""The tables that migrations make, and those that are declared, are the data contract's to the letter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.domains import CATALOG
from storekeeper.stores.sql.urls import sqlalchemy_url

Shape = dict[str, list[tuple[Any, ...]]]
Shapes = Callable[..., Shape]
Definitions = Callable[..., dict[str, str]]

#: The text of the contract, a file a domain.
CONTRACTS = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "contract").glob("*.sql"))}
TABLES = {"deals": 24, "defi": 6, "invest": 10, "rooms": 8}
PARTITIONED = {
    "deals": {"token_transactions": "RANGE (created_at)"},
    "invest": {"transactions": "RANGE (transaction_date)", "user_activity_log": "RANGE (created_at)"},
}
VIEWS = {"invest": {"portfolio_summary"}}
#: Series, by the column of their time.
SERIES = {
    "deals": {"price_tracking": "RANGE (tracked_at)"},
    "invest": dict.fromkeys(
        ("stock_prices", "intraday_prices", "portfolio_snapshots", "market_indices"), 'RANGE ("time")'
    ),
}
#: Tables of ours beside the contract's: where archived events are.
FURTHER = {"defi": {"event_archives", "archived_streams"}}
ROLLUPS = {"deals": {"price_tracking_1d"}, "invest": {"stock_prices_5min", "stock_prices_1h"}}

PRICE = dict.fromkeys(("open", "high", "low", "close"), "numeric(18,6)")
BARS = {"bucket": "timestamp with time zone", "symbol": "character varying(32)", **PRICE}
BARS |= {"volume": "numeric", "notional": "numeric", "count": "bigint"}
DEAL_DAYS = {"bucket": "timestamp with time zone", "deal_id": "uuid"}
DEAL_DAYS |= {**dict.fromkeys(PRICE, "numeric(10,2)"), "count": "bigint"}


def without_further_indexes(made: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What makes a table, less what the contract allows beyond its own text: indexes, unless they are unique."""
    return [line for line in made if line in wanted or len(line) != 2 or line[0].startswith("CREATE UNIQUE")]


@pytest.fixture(params=CONTRACTS)
def domain(request: pytest.FixtureRequest) -> str:
    """A domain of which there is a contract."""
    name: str = request.param
    return name


@pytest.fixture
def contract(domain: str, postgres_url: str, shape_of: Shapes) -> Shape:
    """The shape of the tables that the contract's own text makes."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(CONTRACTS[domain].encode())
    return shape_of(postgres_url, domain)


def test_migrations_make_the_tables_of_the_contract(
    domain: str, contract: Shape, migrated_url: str, shape_of: Shapes
) -> None:
    made = shape_of(migrated_url, domain)
    beside = {*SERIES.get(domain, ()), *VIEWS.get(domain, ())}
    assert beside <= set(contract)
    assert len(set(contract) - beside) == TABLES[domain]
    assert set(made) == set(contract) | ROLLUPS.get(domain, set()) | FURTHER.get(domain, set())
    for table, lines in contract.items():
        assert without_further_indexes(made[table], lines) == lines, table


def test_partitions_and_views_are_those_of_the_contract(
    domain: str, contract: Shape, postgres_url: str, migrated_url: str, definitions_of: Definitions
) -> None:
    wanted, made = definitions_of(postgres_url, domain), definitions_of(migrated_url, domain)
    assert contract
    assert set(wanted) == {*PARTITIONED.get(domain, ()), *VIEWS.get(domain, ())}
    assert wanted | PARTITIONED.get(domain, {}) == wanted
    assert {name: made[name] for name in wanted} == wanted


def test_declarations_are_the_contract_too(
    domain: str, contract: Shape, other_url: str, shape_of: Shapes, definitions_of: Definitions
) -> None:
    engine = sa.create_engine(sqlalchemy_url(other_url), poolclass=sa.NullPool)
    declaration = CATALOG.domain(domain)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(domain))
        series = (hypertable.table for hypertable in declaration.hypertables)
        tables = (*declaration.tables, *series, *(view.table for view in declaration.views))
        for metadata in {table.metadata for table in tables}:
            metadata.create_all(connection)
    declared = shape_of(other_url, domain)
    assert definitions_of(other_url, domain) == PARTITIONED.get(domain, {})
    assert set(declared) == set(contract) | FURTHER.get(domain, set())
    for table, lines in contract.items():
        assert without_further_indexes(declared[table], lines) == lines, table


@pytest.mark.parametrize("domain", SERIES)
def test_series_are_partitioned_by_their_time(domain: str, migrated_url: str, definitions_of: Definitions) -> None:
    made = definitions_of(migrated_url, domain)
    by_time = SERIES[domain] | dict.fromkeys(ROLLUPS[domain], "RANGE (bucket)")
    assert {name: made[name] for name in by_time} == by_time


@pytest.mark.parametrize(
    ("domain", "rollup", "wanted", "key"),
    [
        ("invest", "stock_prices_5min", BARS, "symbol"),
        ("invest", "stock_prices_1h", BARS, "symbol"),
        ("deals", "price_tracking_1d", DEAL_DAYS, "deal_id"),
    ],
)
def test_a_rollup_holds_one_row_a_bucket_and_key(
    domain: str, rollup: str, wanted: dict[str, str], key: str, migrated_url: str, shape_of: Shapes
) -> None:
    made = shape_of(migrated_url, domain)[rollup]
    assert {line[0]: line[1] for line in made if len(line) == 7} == wanted
    unique = [line[0] for line in made if len(line) == 2 and "UNIQUE" in line[0]]
    assert [definition.partition("USING btree ")[2] for definition in unique] == [f"({key}, bucket DESC)"]


def test_every_table_with_updated_at_has_the_trigger_that_keeps_it_true(migrated_url: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        triggers = connection.execute(
            "SELECT tgrelid::regclass::text, tgtype FROM pg_catalog.pg_trigger "
            "WHERE tgparentid = 0 AND tgfoid = 'storekeeper.set_updated_at'::regproc"
        ).fetchall()
    tables = {table for domain in CATALOG.domains for table in domain.tables if "updated_at" in table.columns}
    # 19: for each row (1), before (2), at an UPDATE (16)
    assert sorted(triggers) == sorted((f"{table.schema}.{table.name}", 19) for table in tables)


@pytest.mark.parametrize("table", ["users", "portfolios", "portfolio_assets", "watchlists"])
def test_the_server_sets_updated_at_whoever_writes(migrated_url: str, table: str) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "INSERT INTO invest.users (id, email, password_hash, first_name, last_name) "
            "VALUES ('00000000-0000-0000-0000-000000000001', 'ada@example.org', 'x', 'Ada', 'L')"
        )
        connection.execute(
            "INSERT INTO invest.portfolios (id, user_id) "
            "VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001')"
        )
        connection.execute(
            "INSERT INTO invest.portfolio_assets (portfolio_id, symbol, name, shares, avg_purchase_price) "
            "VALUES ('00000000-0000-0000-0000-000000000002', 'AAPL', 'Apple', 2, 3)"
        )
        connection.execute(
            "INSERT INTO invest.watchlists (user_id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'Tech')"
        )
        connection.commit()
        told = connection.execute(f"UPDATE invest.{table} SET updated_at = '1999-01-01Z' RETURNING updated_at, now()")
        assert [row[0] == row[1] for row in told] == [True]
        connection.commit()
        before, after = connection.execute(
            f"WITH old AS (SELECT updated_at FROM invest.{table}) "
            f"UPDATE invest.{table} t SET created_at = t.created_at FROM old RETURNING old.updated_at, t.updated_at"
        ).fetchone() or (None, None)
        assert before is not None
        assert after is not None
        assert before < after
