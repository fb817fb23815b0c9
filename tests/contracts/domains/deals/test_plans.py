"""How the server finds what is asked most: by index, however much there is. And no listing asks once per row."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql

from storekeeper import Platform, connect, page
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import Deal, SavedDeal
from storekeeper.servers import RunningStack

USER, GOAL = UUID(int=7), UUID(int=7)
NOW = datetime.now(UTC)

#: 1,000 users with a goal and 20 notifications each; user 7 has 50 of what is paged. Postings lie in the months that
#: have a partition: this one, and those ahead.
FILL = """
INSERT INTO deals.users (id, email, hashed_password)
SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'u' || n || '@example.org', 'x'
FROM generate_series(1, 1000) n;
INSERT INTO deals.markets (id, name, type, base_url)
SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'shop ' || n, 'ebay', 'https://example.org'
FROM generate_series(1, 20) n;
INSERT INTO deals.deals (id, market_id, category, source, title, url, current_price, original_price, status)
SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid,
    ('00000000-0000-0000-0000-' || lpad(to_hex(1 + n % 20), 12, '0'))::uuid,
    (ARRAY['books', 'toys', 'home'])[1 + n % 3], 'ebay', 't', 'u', 1 + n % 500, 1000,
    CASE WHEN n % 10 = 0 THEN 'expired' ELSE 'active' END
FROM generate_series(1, 6000) n;
INSERT INTO deals.goals (id, user_id, title, category) SELECT id, id, 'g', 'books' FROM deals.users;
INSERT INTO deals.notifications (user_id, type, priority, title, message, created_at, read_at)
SELECT u.id, 'deal', 'low', 't', 'm', now() - make_interval(hours => n), CASE WHEN n > 10 THEN now() END
FROM deals.users u, generate_series(1, 20) n;
INSERT INTO deals.token_transactions (user_id, type, amount, balance_after, created_at)
SELECT u.id, 'reward', 1, 1, now() + make_interval(days => n * 4) FROM deals.users u, generate_series(1, 15) n;
INSERT INTO deals.chat_messages (user_id, role, content, created_at)
SELECT u.id, 'user', 'x', now() - make_interval(mins => n) FROM deals.users u, generate_series(1, 10) n;

INSERT INTO deals.goals (user_id, title, category)
SELECT '00000000-0000-0000-0000-000000000007', 'g', 'toys' FROM generate_series(1, 49);
INSERT INTO deals.goal_deals (goal_id, deal_id, relevance_score)
SELECT '00000000-0000-0000-0000-000000000007', id, 50 FROM deals.deals ORDER BY id LIMIT 50;
INSERT INTO deals.saved_deals (user_id, deal_id)
SELECT '00000000-0000-0000-0000-000000000007', id FROM deals.deals ORDER BY id LIMIT 50;
INSERT INTO deals.notifications (user_id, type, priority, title, message, created_at)
SELECT '00000000-0000-0000-0000-000000000007', 'deal', 'low', 't', 'm', now() - make_interval(days => n)
FROM generate_series(1, 50) n;
INSERT INTO deals.token_transactions (user_id, type, amount, balance_after, created_at)
SELECT '00000000-0000-0000-0000-000000000007', 'reward', 1, 1, now() + make_interval(days => n)
FROM generate_series(1, 50) n;
INSERT INTO deals.token_balance_history (user_id, balance_before, balance_after, change_amount, change_type)
SELECT '00000000-0000-0000-0000-000000000007', 0, 1, 1, 'reward' FROM generate_series(1, 50);
INSERT INTO deals.chat_messages (user_id, role, content, created_at)
SELECT '00000000-0000-0000-0000-000000000007', 'user', 'x', now() - make_interval(mins => n)
FROM generate_series(1, 50) n;
ANALYZE;
"""


@pytest.fixture(scope="module")
def filled_url(stack: RunningStack, template: str) -> Iterator[str]:
    """A clone of the migrated template, with rows enough to make an index worth its while."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        url = urlunsplit(urlsplit(stack.urls.postgres)._replace(path=f"/{name}"))
        with psycopg.connect(url, autocommit=True) as filling:
            filling.execute(FILL)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def platform(filled_url: str) -> Iterator[Platform]:
    with connect(stores=("postgres",), postgres_url=filled_url, timescale_url=filled_url) as opened:
        yield opened


def plan(platform: Platform, statement: sa.Select[Any]) -> str:
    """How the server runs a statement, and how many rows each step gave."""
    compiled = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    with platform.postgres.begin() as connection:
        explained = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF, SUMMARY OFF) {compiled}"
        return "\n".join(connection.exec_driver_sql(explained.replace("%", "%%")).scalars())


def rows_read(line: str) -> int:
    """How many rows a step of a plan gave; servers before 18 print no decimals."""
    return round(float(line.partition("actual rows=")[2].split()[0]))


def test_the_cheapest_deals_come_out_of_the_index_in_order(platform: Platform) -> None:
    found = plan(platform, queries.deals_on_offer("books", at=NOW).order_by(*queries.CHEAPEST).limit(21))
    (read,) = [line for line in found.splitlines() if "ix_deals_active_price" in line]
    assert "Seq Scan on deals" not in found
    assert rows_read(read) < 60, "not all 1,800"


def test_what_is_unread_is_found_by_index(platform: Platform) -> None:
    unread = queries.notifications_of(USER, unread=True).order_by(*queries.LATEST_NOTIFICATIONS).limit(21)
    found = plan(platform, unread)
    (read,) = [line for line in found.splitlines() if "ix_notifications_unread" in line]
    assert "Seq Scan" not in found
    assert rows_read(read) == 22, "of sixty no more than are shown, and the one that ends the order's first part"


def test_a_page_of_postings_reads_no_month_that_it_does_not_show(platform: Platform) -> None:
    found = plan(platform, queries.token_history(USER).order_by(*queries.LATEST_TRANSACTIONS).limit(11))
    assert "Sort" not in found
    assert "Merge Append" not in found, "months follow one another: none is opened before it is needed"
    months = [line for line in found.splitlines() if " on token_transactions_y" in line]
    assert len(months) > 2
    assert all("user_id_created_at_id_idx" in line for line in months)
    read = [rows_read(line) for line in months if "never executed" not in line]
    assert sum(read) == 11, "not all 65"
    assert len(read) < len(months)


def test_a_page_of_a_chat_comes_out_of_the_index(platform: Platform) -> None:
    found = plan(platform, queries.chat(USER).order_by(*queries.LATEST_SAID).limit(11))
    assert "Sort" not in found
    (read,) = [line for line in found.splitlines() if "ix_chat_messages_latest" in line]
    assert rows_read(read) == 11


Listing = tuple[Callable[[], sa.Select[Any]], Any]
LISTINGS: dict[str, Listing] = {
    "deals, cheapest first": (lambda: queries.deals_on_offer("books", at=NOW), queries.CHEAPEST),
    "deals, newest first": (lambda: queries.deals_on_offer("books", at=NOW), queries.NEWEST_DEALS),
    "goals": (lambda: queries.goals_of(USER), queries.NEWEST_GOALS),
    "matches": (lambda: queries.matches_of(GOAL), queries.BEST_MATCHES),
    "saved deals": (lambda: queries.saved_deals_of(USER), queries.LATEST_SAVED),
    "notifications": (lambda: queries.notifications_of(USER), queries.LATEST_NOTIFICATIONS),
    "postings": (lambda: queries.token_history(USER), queries.LATEST_TRANSACTIONS),
    "changes": (lambda: queries.balance_changes(USER), queries.LATEST_CHANGES),
    "chat": (lambda: queries.chat(USER), queries.LATEST_SAID),
}


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_page_takes_one_statement_and_pages_follow_one_another(platform: Platform, listing: str) -> None:
    select, by = LISTINGS[listing]
    sent: list[str] = []

    def note(*given: Any) -> None:
        sent.append(given[2])

    seen: list[Any] = []
    sa.event.listen(platform.postgres.pool.engine, "before_cursor_execute", note)
    try:
        with platform.postgres.session() as session:
            cursor = None
            for number in (1, 2, 3):
                found = page(session, select(), by=by, after=cursor, limit=15)
                cursor = found.next
                seen += found.items
                for row in found.items:
                    shown(row)
                assert (len(sent), len(found.items)) == (number, 15), sent
    finally:
        sa.event.remove(platform.postgres.pool.engine, "before_cursor_execute", note)
    assert len({sa.inspect(row).identity for row in seen}) == 45


def shown(row: Any) -> None:
    """What whoever lists such rows shows of them."""
    match row:
        case Deal():
            assert row.market.name.startswith("shop")
        case SavedDeal():
            assert row.deal.title == "t"
        case _ if hasattr(row, "relevance_score"):
            assert row.deal.market.name.startswith("shop")
        case _:
            assert row.created_at


def test_what_was_not_asked_for_is_not_loaded(platform: Platform) -> None:
    with platform.postgres.session() as session:
        deal = session.scalars(queries.deals_on_offer("books", at=NOW).limit(1)).one()
        with pytest.raises(sa.exc.InvalidRequestError, match="lazy='raise'"):
            assert deal.saves
