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

CONTRACT = Path(__file__).parent / "contract" / "invest.sql"
RELATIONAL = {
    *("users", "sessions", "portfolios", "portfolio_assets", "transactions"),
    *("watchlists", "watchlist_items", "price_alerts", "ai_insights", "user_activity_log"),
}
PARTITIONED = {"transactions": "RANGE (transaction_date)", "user_activity_log": "RANGE (created_at)"}
VIEW = "portfolio_summary"
SERIES = {"stock_prices", "intraday_prices", "portfolio_snapshots", "market_indices"}
ROLLUPS = {"stock_prices_5min", "stock_prices_1h"}


@pytest.fixture
def contract(postgres_url: str, shape_of: Callable[[str], Shape]) -> Shape:
    """The shape of the tables that the contract's own text makes."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(CONTRACT.read_text().encode())
    return shape_of(postgres_url)


def test_migrations_make_the_tables_of_the_contract(
    contract: Shape, migrated_url: str, shape_of: Callable[[str], Shape]
) -> None:
    made = shape_of(migrated_url)
    assert set(contract) == RELATIONAL | SERIES | {VIEW}
    assert set(made) == set(contract) | ROLLUPS
    for table, lines in contract.items():
        assert made[table] == lines, table


def test_partitions_and_the_view_are_those_of_the_contract(
    postgres_url: str, contract: Shape, migrated_url: str, definitions_of: Callable[[str], dict[str, str]]
) -> None:
    wanted, made = definitions_of(postgres_url), definitions_of(migrated_url)
    assert wanted == PARTITIONED | {VIEW: wanted[VIEW]}
    assert {name: made[name] for name in wanted} == wanted


def test_declarations_are_the_contract_too(
    contract: Shape,
    other_url: str,
    shape_of: Callable[[str], Shape],
    definitions_of: Callable[[str], dict[str, str]],
) -> None:
    engine = sa.create_engine(sqlalchemy_url(other_url), poolclass=sa.NullPool)
    domain = CATALOG.domain("invest")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA invest"))
        tables = (*domain.tables, *(h.table for h in domain.hypertables), *(view.table for view in domain.views))
        for metadata in {table.metadata for table in tables}:
            metadata.create_all(connection)
    declared = shape_of(other_url)
    assert definitions_of(other_url) == PARTITIONED
    assert set(declared) == set(contract)
    for table, lines in contract.items():
        assert declared[table] == lines, table


def test_series_are_partitioned_by_their_time(
    migrated_url: str, definitions_of: Callable[[str], dict[str, str]]
) -> None:
    made = definitions_of(migrated_url)
    by_time = dict.fromkeys(SERIES, 'RANGE ("time")') | dict.fromkeys(ROLLUPS, "RANGE (bucket)")
    assert {name: made[name] for name in by_time} == by_time
    assert set(made) == {*by_time, *PARTITIONED, VIEW, "own_portfolio_summary"}


def test_a_rollup_holds_one_row_a_bucket_and_key(migrated_url: str, shape_of: Callable[[str], Shape]) -> None:
    made = shape_of(migrated_url)
    for rollup in ROLLUPS:
        columns = {line[0]: line[1] for line in made[rollup] if len(line) == 7}
        assert columns == {
            "bucket": "timestamp with time zone",
            "symbol": "character varying(32)",
            "open": "numeric(18,6)",
            "high": "numeric(18,6)",
            "low": "numeric(18,6)",
            "close": "numeric(18,6)",
            "volume": "numeric",
            "notional": "numeric",
            "count": "bigint",
        }
        unique = [line[0] for line in made[rollup] if len(line) == 2 and "UNIQUE" in line[0]]
        assert [definition.partition("USING btree ")[2] for definition in unique] == ["(symbol, bucket DESC)"]


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
