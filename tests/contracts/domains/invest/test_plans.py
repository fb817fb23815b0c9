"""How the server finds what is asked most: by index, however much there is. And no listing asks once per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError

from invest_domain import AT, DAY, ENGINE, invest_platform, new_portfolio, new_user, order
from storekeeper import Platform, page
from storekeeper.domains.invest import queries
from storekeeper.domains.invest.entities import Portfolio, Watchlist
from storekeeper.domains.invest.operations.activity import activities, log_activity
from storekeeper.domains.invest.operations.alerts import Wanted, set_alert
from storekeeper.domains.invest.operations.portfolios import NewPortfolio, create_portfolio
from storekeeper.domains.invest.operations.sessions import open_session
from storekeeper.domains.invest.operations.trades import buy
from storekeeper.domains.invest.operations.watchlists import add_symbols, create_watchlist
from storekeeper.domains.invest.ticks import Tick

FILL = """
INSERT INTO invest.users (id, email, password_hash, first_name, last_name)
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'User' || n || '@example.org', 'x', 'F', 'L'
FROM generate_series(1, 2000) n;
INSERT INTO invest.portfolios (id, user_id, name) SELECT id, id, 'P' FROM invest.users;
INSERT INTO invest.transactions (portfolio_id, symbol, transaction_type, shares, price, transaction_date)
SELECT p.id, 'S' || n % 3, 'buy', 1, 1, date_trunc('year', now()) + make_interval(years => 1, months => n * -6)
FROM invest.portfolios p, generate_series(0, 16) n;
INSERT INTO invest.transactions (portfolio_id, symbol, transaction_type, shares, price, transaction_date)
SELECT '00000000-0000-0000-0000-000000000077', 'S' || n % 3, 'buy', 1, 1,
    date_trunc('year', now()) + make_interval(years => 1) - make_interval(days => n)
FROM generate_series(1, 2500) n;
INSERT INTO invest.price_alerts (user_id, symbol, alert_type, target_price, condition, triggered_at, is_active)
SELECT u.id, 'S' || n, 'price', 100, 'above', CASE WHEN n > 5 THEN now() END, n <= 5
FROM invest.users u, generate_series(1, 10) n WHERE u.id::text LIKE '%7';
INSERT INTO invest.price_alerts (user_id, symbol, alert_type, target_price, condition)
SELECT id, 'R' || right(id::text, 5), 'price', 100, 'above' FROM invest.users;
ANALYZE invest.users, invest.portfolios, invest.transactions, invest.price_alerts;
"""  # in every year that is kept, and the next
SOMEBODY = UUID(int=0x77)


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with invest_platform(migrated_url) as opened:
        yield opened


@pytest.fixture
def filled(platform: Platform, migrated_url: str) -> Platform:
    with psycopg.connect(migrated_url) as connection:
        connection.execute(FILL)
    return platform


@dataclass(frozen=True, slots=True)
class Node:
    """A step of a plan."""

    kind: str
    index: str
    relation: str


def plan(platform: Platform, statement: sa.Executable) -> list[Node]:
    """The steps of a statement's plan, from the outside in."""
    with platform.postgres.begin() as connection:
        compiled = statement.compile(dialect=connection.dialect)  # type: ignore[attr-defined]  # every statement has it
        (tree,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", compiled.params).scalar_one()
    found: list[Node] = []

    def walk(node: dict[str, Any]) -> None:
        found.append(Node(node["Node Type"], node.get("Index Name", ""), node.get("Relation Name", "")))
        for child in node.get("Plans", []):
            walk(child)

    walk(tree["Plan"])
    return found


def test_a_page_of_a_history_reads_no_more_than_it_shows(filled: Platform) -> None:
    newest = queries.transactions(SOMEBODY).order_by(*queries.NEWEST_TRANSACTION).limit(51)
    steps = plan(filled, newest)
    assert steps[0].kind == "Limit"
    scans = [node for node in steps if node.relation.startswith("transactions_")]
    assert scans
    assert {node.kind for node in scans} <= {"Index Scan", "Index Scan Backward"}
    assert all("portfolio_id_transaction_date_id" in node.index for node in scans)
    assert not any(node.kind == "Sort" for node in steps), "the index has the order"


def test_the_newest_step_of_a_position_is_found_by_index(filled: Platform) -> None:
    steps = plan(filled, queries.newest_step(SOMEBODY, "S1"))
    scans = [node for node in steps if node.relation.startswith("transactions_")]
    assert scans
    assert all("portfolio_id_symbol_transaction_date_id" in node.index for node in scans)
    assert "Sort" not in {node.kind for node in steps}, "one date's are sorted, never all"


def test_ticks_find_their_alerts_among_the_pending(filled: Platform) -> None:
    ticks = [Tick(f"R{number:05}", AT, Decimal(101)) for number in range(5)]
    steps = plan(filled, queries.alerts_met(ticks, at=AT))
    (scan,) = [node for node in steps if node.relation == "price_alerts"]
    assert (scan.kind, scan.index) in {
        ("Index Scan", "idx_price_alerts_pending"),
        ("Bitmap Heap Scan", ""),  # over the same index
    }
    assert "idx_price_alerts_pending" in {node.index for node in steps}


@pytest.mark.parametrize(
    ("table", "condition", "index"),
    [
        ("users", "lower(email) = lower('USER7@EXAMPLE.ORG') AND deleted_at IS NULL", "uq_users_email_lower"),
        ("sessions", "refresh_token = 'x'", "idx_sessions_token"),
        ("users", "password_reset_token = 'x'", "idx_users_reset_token"),
        ("users", "email_verification_token = 'x'", "idx_users_verification_token"),
    ],
)
def test_who_signs_in_is_found_by_index(filled: Platform, table: str, condition: str, index: str) -> None:
    """As the look-ups ask, inside of which no plan is shown."""
    steps = plan(filled, sa.text(f"SELECT id FROM invest.{table} WHERE {condition}"))
    assert index in {node.index for node in steps}


def counted(platform: Platform, user_id: UUID, ask: Callable[[Any], object]) -> int:
    """How many statements a listing takes."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    sa.event.listen(platform.postgres.pool.engine, "before_cursor_execute", note)
    try:
        with platform.postgres.session(user_id=user_id) as session:
            ask(session)
    finally:
        sa.event.remove(platform.postgres.pool.engine, "before_cursor_execute", note)
    return len(statements)


def stocked(platform: Platform, user_id: UUID, many: int) -> Portfolio:
    """So many of everything."""
    with platform.postgres.session(user_id=user_id) as session:
        for number in range(many):
            portfolio = create_portfolio(session, NewPortfolio(user_id, f"P{number}"))
            buy(session, order(portfolio, 1, date=AT - number * DAY), at=AT)
            buy(session, order(portfolio, 1, symbol="OTHR"), at=AT)
            watchlist = create_watchlist(session, user_id, f"W{number}", public=True)
            add_symbols(session, watchlist.id, ["A", "B"])
            set_alert(
                session,
                Wanted(user_id=user_id, symbol="A", alert_type="price", condition="above", target=Decimal(1)),
            )
            open_session(session, user_id, at=AT)
            log_activity(session, user_id, "view")
    return portfolio


def listed(session: Any, *, select: sa.Select[Any], by: Any, many: int) -> None:
    """A page with all there is, and what is to be loaded with it."""
    found = page(session, select, by=by)
    assert len(found.items) == many
    for row in found.items:
        if isinstance(row, Portfolio):
            assert sorted(asset.symbol for asset in row.assets) == [ENGINE, "OTHR"]
        if isinstance(row, Watchlist):
            assert sorted(item.symbol for item in row.items) == ["A", "B"]


LISTINGS: dict[str, tuple[Callable[[UUID], sa.Select[Any]], Any]] = {
    "portfolios": (queries.portfolios, queries.NEWEST_PORTFOLIO),
    "watchlists": (queries.watchlists, queries.NEWEST_WATCHLIST),
    "public watchlists": (lambda _: queries.public_watchlists(), queries.NEWEST_WATCHLIST),
    "alerts": (lambda user_id: queries.alerts(user_id, active=True), queries.NEWEST_ALERT),
    "sessions": (lambda user_id: queries.sessions(user_id, at=AT), queries.NEWEST_SESSION),
    "activities": (queries.activities, queries.NEWEST_ACTIVITY),
}


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_takes_as_many_statements_for_many_as_for_few(platform: Platform, listing: str) -> None:
    select, by = LISTINGS[listing]
    taken = []
    for many in (2, 6):
        with platform.postgres.begin() as connection:
            connection.exec_driver_sql("DELETE FROM invest.watchlists")
        user_id = new_user(platform)
        stocked(platform, user_id, many)
        listing_of = partial(listed, select=select(user_id), by=by, many=many)
        taken.append(counted(platform, user_id, listing_of))
    few, more = taken
    assert few == more <= 2


def test_a_history_is_one_statement_and_loads_nothing_unasked(platform: Platform) -> None:
    user_id = new_user(platform)
    portfolio = stocked(platform, user_id, 3)

    def ask(session: Any) -> None:
        found = page(session, queries.transactions(portfolio.id), by=queries.NEWEST_TRANSACTION, limit=10)
        assert len(found.items) == 2
        with pytest.raises(InvalidRequestError, match="raise"):
            _ = found.items[0].portfolio

    assert counted(platform, user_id, ask) == 1


def test_what_was_not_asked_for_is_not_loaded(platform: Platform) -> None:
    portfolio = new_portfolio(platform)
    with platform.postgres.session(user_id=portfolio.user_id) as session:
        user = session.scalars(queries.user(portfolio.user_id)).one()
        assert user.first_name == "ada"
        for secret in ("password_hash", "portfolios"):
            with pytest.raises(InvalidRequestError):
                getattr(user, secret)
        activity = activities(session, user.id)
        assert activity.items == ()
        assert session.scalars(queries.insights(user.id, at=AT + timedelta(days=1))).all() == []
