"""Transactions stay for seven calendar years: the server refuses what would take one away, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from storekeeper import Platform, years
from storekeeper.catalog.ranges import partition_range
from storekeeper.errors import ForeignKeyError, KeptRowsError
from storekeeper.migrations import rollback
from storekeeper.stores.postgres.partitions import make_partitions
from storekeeper.stores.sql.failures import translated

Opened = Callable[..., Platform]
Connection = psycopg.Connection[tuple[object, ...]]

USER, PORTFOLIO, TRANSACTION = UUID(int=1), UUID(int=2), UUID(int=3)
YEAR = timedelta(days=365)
#: In Almaty an hour was added in 2024: seven years of its calendar are not seven years of UTC.
ZONES = ["UTC", "Asia/Almaty"]


@pytest.fixture
def platform(opened: Opened, migrated_url: str) -> Platform:
    """With a portfolio, and partitions of two years more than are made by themselves."""
    platform = opened(migrated_url)
    (lifecycle,) = [life for life in platform.catalog.lifecycles if life.name == "invest.transactions"]
    now = datetime.now(UTC)
    assert lifecycle.partition is not None
    older = {partition_range(lifecycle.partition, now - count * YEAR) for count in (8, 9)}
    make_partitions(platform.postgres, lifecycle, older)
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "INSERT INTO invest.users (id, email, password_hash, first_name, last_name) "
            "VALUES (%s, 'a@b.org', 'x', 'A', 'L')",
            [USER],
        )
        connection.execute("INSERT INTO invest.portfolios (id, user_id) VALUES (%s, %s)", [PORTFOLIO, USER])
    return platform


@pytest.fixture
def connection(platform: Platform) -> Iterator[Connection]:
    with psycopg.connect(platform.url("postgres"), autocommit=True) as connection:
        yield connection


def bought(connection: Connection, moment: datetime) -> None:
    connection.execute(
        "INSERT INTO invest.transactions (id, portfolio_id, symbol, transaction_type, shares, price, transaction_date) "
        "VALUES (%s, %s, 'AAPL', 'buy', 3, 150.25, %s)",
        [TRANSACTION, PORTFOLIO, moment],
    )


def server_now(connection: Connection) -> datetime:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0].astimezone(UTC)


@pytest.mark.parametrize("zone", ZONES)
def test_a_young_one_stays_and_an_old_one_may_go(connection: Connection, zone: str) -> None:
    connection.execute("SELECT set_config('TimeZone', %s, false)", [zone])
    border = years(7).before(server_now(connection))
    bought(connection, border + timedelta(minutes=5))
    with pytest.raises(KeptRowsError) as refused, translated("delete"):
        connection.execute("DELETE FROM invest.transactions")
    assert refused.value.target == "invest.transactions"
    kept = border + timedelta(minutes=5)
    assert refused.value.cause == f"a transaction of {kept:%Y-%m-%d} is kept until {years(7).after(kept):%Y-%m-%d}"
    assert "correct one by a further transaction" in refused.value.hint
    connection.execute("UPDATE invest.transactions SET notes = 'checked', fees = 1")
    bought(connection, border - timedelta(minutes=5))
    old = connection.execute("DELETE FROM invest.transactions WHERE transaction_date < %s", [border])
    assert old.rowcount == 1
    assert connection.execute("SELECT count(*) FROM invest.transactions").fetchone() == (1,)


def test_seven_years_are_counted_by_the_calendar(connection: Connection) -> None:
    now = server_now(connection)
    leap_days = timedelta(days=7 * 365)
    bought(connection, now - leap_days)  # older than 7 x 365 days, and younger than seven years
    with pytest.raises(KeptRowsError), translated("delete"):
        connection.execute("DELETE FROM invest.transactions")


@pytest.mark.parametrize("statement", ["DELETE FROM invest.portfolios", "DELETE FROM invest.users"])
@pytest.mark.parametrize("age", [1, 9])
def test_nothing_cascades_to_them(connection: Connection, statement: str, age: int) -> None:
    bought(connection, datetime.now(UTC) - age * YEAR)
    with pytest.raises(ForeignKeyError), translated("delete"):
        connection.execute(statement.encode())
    row = connection.execute("SELECT count(*) FROM invest.transactions JOIN invest.portfolios p ON p.id = portfolio_id")
    assert row.fetchone() == (1,)


def test_without_any_a_user_goes_with_portfolios(connection: Connection) -> None:
    connection.execute("DELETE FROM invest.users")
    assert connection.execute("SELECT count(*) FROM invest.portfolios").fetchone() == (0,)


def test_a_date_moves_within_its_year_and_never_out_of_what_is_kept(connection: Connection) -> None:
    now = server_now(connection)
    day = datetime(now.year - 2, 6, 15, tzinfo=UTC)
    bought(connection, day)
    move = "UPDATE invest.transactions SET transaction_date = %s"
    connection.execute(move, [day + timedelta(days=3)])
    # to the server, a row that changes its partition is deleted and inserted
    for moment in (day - YEAR, day + YEAR, day - 9 * YEAR):
        with pytest.raises(KeptRowsError), translated("move"):
            connection.execute(move, [moment])
    assert connection.execute("SELECT transaction_date FROM invest.transactions").fetchone() == (
        day + timedelta(days=3),
    )


def test_an_old_one_may_move_anywhere(connection: Connection) -> None:
    now = server_now(connection)
    bought(connection, now - 9 * YEAR)
    for moment in (now - 8 * YEAR, now):
        connection.execute("UPDATE invest.transactions SET transaction_date = %s", [moment])
    assert connection.execute("SELECT transaction_date FROM invest.transactions").fetchone() == (now,)


def test_one_cannot_be_aged_past_the_border_of_its_own_year(connection: Connection) -> None:
    now = server_now(connection)
    border = years(7).before(now)
    start = datetime(border.year, 1, 1, tzinfo=UTC)
    if border - start < timedelta(minutes=1):
        pytest.skip("the border lies on the first minute of a year: it and the partition's are one")
    bought(connection, min(border + timedelta(minutes=5), datetime(border.year, 12, 31, 23, 59, 59, tzinfo=UTC)))
    with pytest.raises(KeptRowsError), translated("move"):
        connection.execute("UPDATE invest.transactions SET transaction_date = %s", [start])


def test_nobody_but_the_owner_may_truncate(connection: Connection) -> None:
    granted = connection.execute(
        "SELECT c.relname, a.grantee::regrole, a.privilege_type "
        "FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a "
        "WHERE c.relnamespace = 'invest'::regnamespace AND c.relname ~ '^transactions' AND a.grantee <> c.relowner "
        "AND (a.privilege_type = 'TRUNCATE' OR c.relispartition)"
    ).fetchall()
    assert granted == []
    defaults = connection.execute("SELECT * FROM pg_default_acl").fetchall()
    assert defaults == [], "nor does what is made later grant anything"


def test_their_table_is_not_rolled_back_while_any_is_kept(platform: Platform, connection: Connection) -> None:
    bought(connection, datetime.now(UTC) - YEAR)
    connection.execute("DELETE FROM storekeeper.alembic_timescale WHERE version_num = 'invest_0001'")
    with pytest.raises(KeptRowsError, match="younger than seven years"):
        rollback(platform, "invest", None)
    secured = "SELECT true FROM pg_policy WHERE polrelid = 'invest.transactions'::regclass"
    assert connection.execute(secured).fetchone(), "what stays is protected as before"
    assert connection.execute("SELECT count(*) FROM invest.transactions").fetchone() == (1,)
    connection.execute("SET session_replication_role = replica")
    connection.execute("UPDATE invest.transactions SET transaction_date = %s", [datetime.now(UTC) - 9 * YEAR])
    assert rollback(platform, "invest") == ("postgres: invest_0002",)
