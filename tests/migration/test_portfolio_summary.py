"""What portfolios are worth is shown to their own users alone."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

ADA, BOB, PORTFOLIO = UUID(int=1), UUID(int=2), UUID(int=3)
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def connection(migrated_url: str) -> Iterator[Connection]:
    """Two users with a portfolio each; Ada's holds two assets, Bob's none."""
    with psycopg.connect(migrated_url) as connection:
        for user, name in ((ADA, "ada"), (BOB, "bob")):
            connection.execute(
                "INSERT INTO invest.users (id, email, password_hash, first_name, last_name) "
                "VALUES (%s, %s, 'x', %s, 'L')",
                [user, f"{name}@example.org", name],
            )
            connection.execute(
                "INSERT INTO invest.portfolios (id, user_id) VALUES (%s, %s)",
                [UUID(int=PORTFOLIO.int + user.int), user],
            )
        for symbol, value in (("AAPL", "1000.25"), ("MSFT", "99.75")):
            connection.execute(
                "INSERT INTO invest.portfolio_assets "
                "(portfolio_id, symbol, name, shares, avg_purchase_price, current_value, unrealized_gain) "
                "VALUES (%s, %s, %s, 1, 90, %s, 10)",
                [UUID(int=4), symbol, symbol, value],
            )
        connection.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY invest.portfolio_summary")
        connection.commit()
        yield connection


def own(connection: Connection, user: object | None) -> list[tuple[object, ...]]:
    """What a transaction sees whose user is this one; None where it names none."""
    with connection.transaction(force_rollback=True):
        if user is not None:
            connection.execute("SELECT set_config('app.current_user_id', %s, true)", [str(user)])
        return connection.execute("SELECT * FROM invest.own_portfolio_summary").fetchall()


def test_a_user_sees_their_own(connection: Connection) -> None:
    assert own(connection, ADA) == [(UUID(int=4), ADA, 2, Decimal("1100.00"), Decimal("20.00"))]
    assert own(connection, BOB) == [(UUID(int=5), BOB, 0, None, None)]
    assert own(connection, UUID(int=9)) == []


def test_nobody_sees_nothing(connection: Connection) -> None:
    assert own(connection, None) == own(connection, "") == []
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        own(connection, "ada")


def test_a_function_of_the_query_does_not_see_others_either(connection: Connection) -> None:
    """Without the barrier the planner would call it, cheap as it says it is, on every row."""
    connection.execute("""
        CREATE FUNCTION pg_temp.peek(owner uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
        $$ BEGIN RAISE NOTICE '%', owner; RETURN true; END $$
    """)
    seen: list[str | None] = []
    connection.add_notice_handler(lambda notice: seen.append(notice.message_primary))
    connection.execute("SELECT set_config('app.current_user_id', %s, true)", [str(BOB)])
    connection.execute("SELECT * FROM invest.own_portfolio_summary WHERE pg_temp.peek(user_id)")
    assert seen == [str(BOB)]
    query = "SELECT * FROM invest.portfolio_summary WHERE pg_temp.peek(user_id) AND user_id = %s"
    connection.execute(query, [BOB])
    assert sorted(map(str, seen)) == [str(ADA), str(BOB), str(BOB)], "as it would without the view"
