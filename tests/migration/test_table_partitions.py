"""Partitions of relational tables: made by a migration and on demand, with the bounds and names that were agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper import Domain, FixedClock, Platform, connect_async, days
from storekeeper.catalog import Catalog, Range, TableLifecycle
from storekeeper.catalog.ranges import partition_range
from storekeeper.domains import BACKUPS, CATALOG
from storekeeper.errors import CheckError, NotMigratedError, StoreError
from storekeeper.migrations import apply, drift, plan
from storekeeper.stores.postgres import partitions
from storekeeper.stores.postgres.partitions import make_partitions
from storekeeper.stores.postgres.partitions_async import make_partitions as make_partitions_async
from storekeeper.stores.sql.failures import translated

Opened = Callable[..., Platform]

NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
YEARS = [f"transactions_{year}" for year in range(2019, 2028)]
MONTHS = [f"user_activity_log_{month}" for month in (202609, 202610, 202611, 202612, 202701, 202702)]
VERBOSE = [f"token_transactions_{month}" for month in ("y2026m11", "y2026m12", "y2027m01", "y2027m02")]
PARTITIONED = [life.name for life in CATALOG.lifecycles if life.partition is not None]

TRANSACTIONS, ACTIVITY = (
    life for life in CATALOG.lifecycles if life.name in ("invest.transactions", "invest.user_activity_log")
)


def on_server(url: str) -> dict[str, tuple[str, str]]:
    """The bounds of every partition of a relational table, by name, as a session in UTC reads them."""
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        rows = connection.execute(
            "SELECT c.relname, (b.pair)[1]::timestamptz, (b.pair)[2]::timestamptz "
            "FROM pg_class c JOIN pg_inherits ON inhrelid = c.oid CROSS JOIN LATERAL "
            r"(SELECT regexp_match(pg_get_expr(relpartbound, oid), '\(''(.+)''\) TO \(''(.+)''\)') AS pair) b "
            "WHERE inhparent = ANY(%s::regclass[]) ORDER BY 1",
            [PARTITIONED],
        ).fetchall()
    return {name: (f"{lower:%Y-%m-%d %H:%M:%S}", f"{upper:%Y-%m-%d %H:%M:%S}") for name, lower, upper in rows}


def month(text: str) -> Range:
    assert ACTIVITY.partition is not None
    return partition_range(ACTIVITY.partition, datetime.fromisoformat(text).replace(tzinfo=UTC))


@contextmanager
def zoned(url: str, zone: str) -> Iterator[None]:
    """Every new session of this database begins in another time zone."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'".encode())
        yield


def test_a_migration_makes_them_from_what_is_kept_to_what_is_coming(opened: Opened, postgres_url: str) -> None:
    with zoned(postgres_url, "Pacific/Kiritimati"):  # where it is December already
        platform = opened(postgres_url, clock=FixedClock(NOW))
        planned = plan(platform)
        told = {step.target: step.detail for step in planned.steps if step.action == "make partitions"}
        assert told == {
            "deals.token_transactions": "4, from token_transactions_y2026m11 to token_transactions_y2027m02",
            "invest.transactions": "9, from transactions_2019 to transactions_2027",
            "invest.user_activity_log": "6, from user_activity_log_202609 to user_activity_log_202702",
        }
        apply(platform, planned)
        made = on_server(postgres_url)
        assert list(made) == VERBOSE + YEARS + MONTHS
        assert made["token_transactions_y2027m01"] == ("2027-01-01 00:00:00", "2027-02-01 00:00:00")
        assert made["transactions_2026"] == ("2026-01-01 00:00:00", "2027-01-01 00:00:00")
        assert made["user_activity_log_202702"] == ("2027-02-01 00:00:00", "2027-03-01 00:00:00")
        assert (plan(platform).steps, drift(platform)) == ((), ())

        later = opened(postgres_url, clock=FixedClock(NOW + timedelta(hours=1)))
        steps = plan(later).steps
        assert [str(step) for step in steps] == [
            "postgres: make partitions deals.token_transactions: token_transactions_y2027m03",
            "postgres: make partitions invest.user_activity_log: user_activity_log_202703",
        ]
        assert apply(later).steps == steps
        assert (plan(later).steps, drift(later)) == ((), ())


def test_a_partition_is_all_that_its_table_is(opened: Opened, migrated_url: str) -> None:
    """Whether a migration made it or a row that needed it."""
    for life in CATALOG.lifecycles:
        if life.partition is not None:
            early = partition_range(life.partition, datetime(2014, 5, 7, tzinfo=UTC))
            assert make_partitions(opened(migrated_url).postgres, life, [early]) == (early,)
    with psycopg.connect(migrated_url) as connection:
        for table in PARTITIONED:
            ((_, *own), *partitions) = connection.execute(
                """
                WITH family AS (
                    SELECT %(table)s::regclass::oid AS member UNION ALL
                    SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass
                )
                SELECT member::regclass::text,
                    ARRAY(SELECT concat_ws(' ', indisunique, indisvalid, indkey, indoption, indclass,
                                           pg_get_expr(indpred, indrelid), pg_get_expr(indexprs, indrelid)) AS line
                          FROM pg_index WHERE indrelid = member ORDER BY line),
                    ARRAY(SELECT pg_get_constraintdef(oid) AS line FROM pg_constraint
                          WHERE conrelid = member AND contype IN ('f', 'p', 'u', 'c') ORDER BY line),
                    ARRAY(SELECT concat_ws(' ', tgname, tgtype, tgfoid, tgenabled) AS line FROM pg_trigger
                          WHERE tgrelid = member AND NOT tgisinternal AND tgtype & 1 = 1 ORDER BY line)
                FROM family ORDER BY member <> %(table)s::regclass
                """,
                {"table": table},
            ).fetchall()
            indexes, constraints, triggers = own
            assert (len(indexes) > 1, len(constraints) > 1, len(partitions) > 4) == (True, True, True)
            assert bool(triggers) == (table != ACTIVITY.name)
            assert [name for name, *has in partitions if has != own] == []


def test_they_are_made_on_demand_where_rows_need_them(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    row = (
        "INSERT INTO invest.user_activity_log (activity_type, created_at) VALUES ('login', '2014-05-07Z') RETURNING id"
    )
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        with pytest.raises(CheckError) as refused, translated("insert"):
            connection.execute(row.encode())
        assert refused.value.constraint == ""
        wanted = [month("2014-05-07"), Range(month("2014-03-31").lower, month("2014-03-31").lower + timedelta(days=40))]
        assert make_partitions(platform.postgres, ACTIVITY, wanted) == (
            *(month("2014-03-01"), month("2014-04-01")),
            month("2014-05-01"),
        )
        assert make_partitions(platform.postgres, ACTIVITY, wanted) == ()
        assert make_partitions(platform.postgres, ACTIVITY, []) == ()
        made = [connection.execute(row.encode()).fetchone() for _ in range(2)]
    assert made == [(2,), (3,)], "numbered by the table, not by the partition"
    assert drift(platform) == ()


def test_many_make_the_same_at_once(opened: Opened, migrated_url: str) -> None:
    platforms = [opened(migrated_url) for _ in range(4)]
    start = Barrier(4)
    wanted = [Range(month("2014-01-01").lower, month("2014-06-01").upper)]

    def make(platform: Platform) -> int:
        start.wait()
        return len(make_partitions(platform.postgres, ACTIVITY, wanted))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(make, platforms)) == 6
    assert [name for name in on_server(migrated_url) if "_2014" in name] == [
        f"user_activity_log_20140{number}" for number in range(1, 7)
    ]


async def test_so_do_asynchronous_services(migrated_url: str) -> None:
    wanted = [Range(month("2014-01-01").lower, month("2014-06-01").upper)]
    async with connect_async(stores=("postgres",), postgres_url=migrated_url) as platform:
        made = await asyncio.gather(*(make_partitions_async(platform.postgres, ACTIVITY, wanted) for _ in range(4)))
    assert sum(map(len, made)) == 6


def test_neither_readers_nor_writers_of_the_table_wait(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    with psycopg.connect(migrated_url) as connection:
        connection.execute("INSERT INTO invest.user_activity_log (activity_type) VALUES ('login')")
        connection.execute("SELECT count(*) FROM invest.user_activity_log")
        assert len(make_partitions(platform.postgres, ACTIVITY, [month("2014-05-01")])) == 1


def test_who_holds_users_is_waited_for_briefly_and_again(
    opened: Opened, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their foreign keys need the table for an instant: one attempt gives up after a fifth of a second here."""
    monkeypatch.setattr(partitions, "_CHANGING", {"lock_timeout": "200ms"})
    platform = opened(migrated_url)
    with psycopg.connect(migrated_url) as connection, ThreadPoolExecutor(1) as threads:
        connection.execute("LOCK TABLE invest.users IN ROW EXCLUSIVE MODE")
        making = threads.submit(make_partitions, platform.postgres, ACTIVITY, [month("2014-05-01")])
        with pytest.raises(TimeoutError):
            making.result(timeout=0.8)
        connection.rollback()
        assert len(making.result(timeout=10)) == 1


def test_a_table_of_the_name_that_is_somebody_elses_is_left_alone(opened: Opened, migrated_url: str) -> None:
    platform = opened(migrated_url)
    with psycopg.connect(migrated_url) as connection:
        connection.execute("CREATE TABLE invest.user_activity_log_201405 (kept int)")
    with pytest.raises(StoreError, match="user_activity_log_201405 is there, and is not its partition"):
        make_partitions(platform.postgres, ACTIVITY, [month("2014-05-01")])


def test_a_table_that_is_not_there_is_said_to_be_missing(opened: Opened, postgres_url: str) -> None:
    platform = opened(postgres_url)
    with pytest.raises(NotMigratedError):
        make_partitions(platform.postgres, TRANSACTIONS, [month("2014-05-01")])


def test_tables_that_no_revision_makes_get_no_partitions(opened: Opened, migrated_url: str) -> None:
    visits = sa.Table("visits", sa.MetaData(schema="lab"), sa.Column("created_at", sa.DateTime(timezone=True)))
    lab = Domain(
        "lab", tables=(visits,), lifecycles=(TableLifecycle(visits, partition=ACTIVITY.partition, drop_after=days(90)),)
    )
    platform = opened(migrated_url, catalog=Catalog((*CATALOG.domains, lab), backups=BACKUPS))
    assert "make partitions" not in [step.action for step in plan(platform).steps]
    assert "postgres: repartition lab.visits by RANGE (created_at), not at all" in drift(platform)
