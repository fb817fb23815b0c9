"""The SQL pool and the relational store, on a real server: transactions, settings, errors, retries, reports."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storekeeper import errors
from storekeeper.clock import FixedClock
from storekeeper.settings import SqlPool
from storekeeper.stores.postgres.postgres_async import AsyncPostgres
from storekeeper.stores.sql.pool_async import AsyncPool

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
ONE = SqlPool(min=1, size=1, overflow=0)


@asynccontextmanager
async def opened(url: str, **changed: Any) -> AsyncIterator[AsyncPool]:
    """An open pool on `url`."""
    options: dict[str, Any] = {
        "pool": SqlPool(),
        "connect_timeout": 5,
        "transaction_timeout": 30,
        "slow_query": 1.0,
        "prepared": True,
        "store": "postgres",
        "clock": FixedClock(MOMENT),
    }
    pool = AsyncPool(url, **(options | changed))
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(5)


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[AsyncPool]:
    async with opened(postgres_url) as pool:
        async with pool.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE public.things (id int PRIMARY KEY, name text)"))
        yield pool


async def ids(pool: AsyncPool) -> list[int]:
    async with pool.begin() as connection:
        found = await connection.execute(sa.text("SELECT id FROM public.things ORDER BY id"))
        return list(found.scalars())


def things(*numbers: int) -> sa.TextClause:
    values = ", ".join(f"({number}, 'thing')" for number in numbers)
    return sa.text(f"INSERT INTO public.things VALUES {values}")


async def test_a_block_commits_and_an_exception_rolls_back(pool: AsyncPool) -> None:
    async with pool.begin() as connection:
        await connection.execute(things(1))
    with pytest.raises(LookupError):
        async with pool.begin() as connection:
            await connection.execute(things(2))
            raise LookupError
    assert await ids(pool) == [1]
    assert pool.statistics().checked_out == 0


async def test_an_error_that_is_passed_over_is_no_commit(pool: AsyncPool) -> None:
    with pytest.raises(errors.StoreError, match="nothing was committed"):
        async with pool.begin() as connection:
            await connection.execute(things(1))
            with pytest.raises(sa.exc.IntegrityError):
                await connection.execute(things(1))
    assert await ids(pool) == []


async def test_a_savepoint_saves_the_transaction(pool: AsyncPool) -> None:
    async with pool.begin() as connection:
        await connection.execute(things(1))
        with pytest.raises(sa.exc.IntegrityError):
            async with connection.begin_nested():
                await connection.execute(things(1))
        await connection.execute(things(2))
    assert await ids(pool) == [1, 2]


async def test_times_come_back_in_utc_whatever_the_server_says(pool: AsyncPool, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE \"{admin.info.dbname}\" SET timezone = 'Asia/Kathmandu'")
    async with opened(postgres_url) as later:
        for borrow in (later.begin, later.autocommit):
            async with borrow() as connection:
                statement = sa.text("SELECT timestamptz '2026-01-01 23:30+00', date_trunc('day', now())::text")
                moment, day = (await connection.execute(statement)).one()
                assert moment.utcoffset() == timedelta(0)
                assert day.endswith("00:00:00+00")


async def test_settings_hold_for_one_transaction(pool: AsyncPool) -> None:
    shown = sa.text("SELECT current_setting('app.current_user_id', true), current_setting('lock_timeout')")
    async with pool.begin(local={"app.current_user_id": "it's me", "lock_timeout": "2s"}) as connection:
        assert (await connection.execute(shown)).one() == ("it's me", "2s")
        process = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
    seen = set()
    for _ in range(pool.settings.min + 1):
        async with pool.begin() as connection:
            seen.add((await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one())
            user, lock_timeout = (await connection.execute(shown)).one()
            assert (user or "", lock_timeout) == ("", "0")
    assert process in seen


async def test_isolation_is_as_asked_for(pool: AsyncPool) -> None:
    async with pool.begin(isolation="repeatable read") as connection:
        assert (await connection.execute(sa.text("SHOW transaction_isolation"))).scalar_one() == "repeatable read"
    async with pool.begin() as connection:
        assert (await connection.execute(sa.text("SHOW transaction_isolation"))).scalar_one() == "read committed"


async def test_a_transaction_costs_two_round_trips_besides_its_statements(postgres_url: str) -> None:
    async with opened(postgres_url, pool=ONE) as pool:
        async with pool.begin() as connection:
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
            assert driver is not None
        trace = os.memfd_create("trace")
        driver.pgconn.trace(trace)
        async with pool.begin(local={"lock_timeout": "1s"}) as connection:
            limits = "SELECT current_setting('transaction_timeout') || current_setting('lock_timeout')"
            assert (await connection.execute(sa.text(limits))).scalar_one() == "30s1s"
        driver.pgconn.untrace()
        sent = re.findall(rb"\tF\t\d+\t(Query|Sync)", os.pread(trace, 100_000, 0))
        os.close(trace)
    assert len(sent) == 3


@pytest.mark.parametrize("statements", [["SELECT pg_sleep(5)"], ["SELECT pg_sleep(0.04)"] * 100])
async def test_a_transaction_is_cut_off(pool: AsyncPool, statements: list[str]) -> None:
    with pytest.raises(errors.StatementTimeoutError):
        async with pool.begin(timeout=0.3, operation="dawdle") as connection:
            await connection.execute(things(1))
            for statement in statements:
                await connection.execute(sa.text(statement))
    assert await ids(pool) == []


async def test_an_idle_transaction_is_cut_off(pool: AsyncPool) -> None:
    with pytest.raises(errors.StatementTimeoutError):
        async with pool.begin(timeout=0.2) as connection:
            await connection.execute(things(1))
            await asyncio.sleep(0.5)
    assert await ids(pool) == []


@pytest.mark.parametrize("statements", [["SELECT pg_sleep(5)"], ["SELECT pg_sleep(0.04)"] * 100])
async def test_without_transaction_timeout_the_client_keeps_the_deadline(
    pool: AsyncPool, statements: list[str]
) -> None:
    pool._watch.server_version = 160000
    started = monotonic()
    with pytest.raises(errors.StatementTimeoutError):
        async with pool.begin(timeout=0.3) as connection:
            await connection.execute(things(1))
            for statement in statements:
                await connection.execute(sa.text(statement))
    assert monotonic() - started < 2
    assert await ids(pool) == []


async def test_without_transaction_timeout_a_late_commit_is_none(pool: AsyncPool) -> None:
    pool._watch.server_version = 160000
    with pytest.raises(errors.StatementTimeoutError):
        async with pool.begin(timeout=0.6) as connection:
            await connection.execute(things(1))
            await asyncio.sleep(0.4)  # no pause is longer than the server allows
            await connection.execute(sa.text("SELECT 1"))
            await asyncio.sleep(0.4)
    assert await ids(pool) == []


async def test_without_transaction_timeout_statements_share_the_time(pool: AsyncPool) -> None:
    pool._watch.server_version = 160000
    async with pool.begin(timeout=10) as connection:
        assert (await connection.execute(sa.text("SHOW statement_timeout"))).scalar_one() == "10s"
        await asyncio.sleep(1.1)
        left = (await connection.execute(sa.text("SELECT current_setting('statement_timeout')"))).scalar_one()
        assert left.endswith("ms")
        assert int(left.removesuffix("ms")) < 9000


async def test_none_cuts_off_where_none_is_asked_for(pool: AsyncPool) -> None:
    async with pool.begin(timeout=None) as connection:
        assert (await connection.execute(sa.text("SHOW transaction_timeout"))).scalar_one() == "0"


async def test_autocommit_leaves_the_session_as_it_was(postgres_url: str) -> None:
    async with opened(postgres_url, pool=ONE) as pool:
        async with pool.autocommit(local={"lock_timeout": "3s"}) as connection:
            assert (await connection.execute(sa.text("SHOW lock_timeout"))).scalar_one() == "3s"
            for statement in (
                "CREATE TABLE public.kept (id int)",
                "CREATE TEMP TABLE gone (id int)",
                "SELECT pg_advisory_lock(7, 7)",
                "LISTEN news",
                "SET statement_timeout = '9s'",
                "SET ROLE pg_monitor",
                "BEGIN",
                "SET application_name = 'left open'",
            ):
                await connection.execute(sa.text(statement))
        async with pool.begin() as connection:
            left = await connection.execute(
                sa.text(
                    "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), to_regclass('gone'),"
                    " to_regclass('public.kept')::text, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
                    " (SELECT count(*) FROM pg_listening_channels()), current_user = session_user,"
                    " current_setting('application_name')"
                )
            )
            assert left.one() == ("0", "0", None, "kept", 0, 0, True, "storekeeper")


async def test_outside_of_a_transaction_each_statement_commits(pool: AsyncPool) -> None:
    with pytest.raises(errors.UniqueError):
        async with pool.autocommit() as connection:
            await connection.execute(things(1))
            await connection.execute(things(1))
    assert await ids(pool) == [1]


async def test_an_engine_used_as_sqlalchemys_own_has_transactions_too(
    pool: AsyncPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.dialects.postgresql")  # where the server's warnings go
    with pytest.raises(LookupError):
        async with pool.engine.begin() as connection:
            await connection.execute(things(1))
            raise LookupError
    async with pool.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(things(2))
    for _ in range(pool.settings.min + 1):  # among them the connection whose driver now begins by itself
        with pytest.raises(LookupError):
            async with pool.begin() as connection:
                await connection.execute(things(3))
                assert (await connection.execute(sa.text("SHOW transaction_timeout"))).scalar_one() == "30s"
                raise LookupError
    assert await ids(pool) == [2]
    assert caplog.records == []


async def test_copy_is_part_of_the_transaction(pool: AsyncPool) -> None:
    with pytest.raises(LookupError):
        async with pool.begin() as connection:
            async with pool.copy(connection, "COPY public.things FROM STDIN") as copy:
                await copy.write(b"1\tone\n")
            raise LookupError
    async with pool.begin() as connection, pool.copy(connection, "COPY public.things FROM STDIN") as copy:
        await copy.write(b"2\ttwo\n3\tthree\n")
    assert await ids(pool) == [2, 3]
    counted = {statement.statement: statement for statement in pool.statistics().statements}
    assert counted["COPY public.things FROM STDIN"].rows == 3
    assert pool.statistics().opened == pool.settings.min


async def test_copy_of_what_does_not_fit_leaves_nothing(pool: AsyncPool) -> None:
    with pytest.raises(errors.ValueFitError):
        async with (
            pool.begin(operation="append", target="public.things") as connection,
            pool.copy(connection, "COPY public.things FROM STDIN") as copy,
        ):
            await copy.write(b"1\tone\nx\ttwo\n")
    assert await ids(pool) == []


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO public.rules VALUES (1, 1, 1), (1, 1, 1)", errors.UniqueError),
        ("INSERT INTO public.rules VALUES (1, 9, 1)", errors.ForeignKeyError),
        ("INSERT INTO public.rules VALUES (1, 1, -1)", errors.CheckError),
        ("INSERT INTO public.rules VALUES (1, 1, NULL)", errors.NotNullError),
        ("INSERT INTO public.rules VALUES (1, 1, 1000000)", errors.ValueFitError),
        ("INSERT INTO public.rules VALUES (1, 1, 'x')", errors.ValueFitError),
        ("SELECT * FROM public.nowhere", errors.NotMigratedError),
        ("SELECT nothing FROM public.rules", errors.NotMigratedError),
        ("SELECT * FROM nowhere.rules", errors.NotMigratedError),
        ("SELECT nowhere()", errors.NotMigratedError),
        ("SET LOCAL statement_timeout = 20; SELECT pg_sleep(1)", errors.StatementTimeoutError),
        ("DO $$ BEGIN RAISE EXCEPTION 'old' USING ERRCODE = 'SK001'; END $$", errors.BelowWatermarkError),
        ("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$", errors.DiskFullError),
        ("SET LOCAL ROLE pg_monitor; SELECT * FROM public.rules", errors.PermissionDeniedError),
        ("SELEC", errors.StoreError),
    ],
)
async def test_the_servers_failures_are_our_errors(
    pool: AsyncPool, statement: str, error: type[errors.StorekeeperError]
) -> None:
    with pytest.raises(errors.StorekeeperError) as caught:
        async with pool.begin(operation="try") as connection:
            await connection.execute(
                sa.text(
                    "CREATE TABLE public.rules (id int PRIMARY KEY, other int REFERENCES public.rules,"
                    " price numeric(4, 2) NOT NULL CHECK (price > 0))"
                )
            )
            await connection.execute(sa.text(statement.replace(":", r"\:")))
    assert type(caught.value) is error
    assert str(caught.value).startswith("try ")
    assert caught.value.__cause__ is not None


async def test_a_broken_rule_is_named(pool: AsyncPool) -> None:
    with pytest.raises(errors.UniqueError) as caught:
        async with pool.begin() as connection:
            await connection.execute(things(1, 1))
    assert caught.value.constraint == "things_pkey"
    assert "(1)" not in str(caught.value)


class Conflicting:
    """Fails with a SQLSTATE the first times that it is called, then writes."""

    def __init__(self, sqlstate: str, failures: int) -> None:
        self.sqlstate, self.failures, self.calls = sqlstate, failures, 0

    async def __call__(self, connection: AsyncConnection) -> int:
        self.calls += 1
        await connection.execute(things(self.calls))
        if self.calls <= self.failures:
            await connection.execute(sa.text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{self.sqlstate}'; END $$"))
        return self.calls


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
async def test_a_conflict_is_run_again_from_the_start(pool: AsyncPool, sqlstate: str) -> None:
    assert await pool.run(Conflicting(sqlstate, failures=1)) == 2
    assert await ids(pool) == [2]
    assert pool.statistics().retries == 1


async def test_the_fourth_conflict_is_raised(pool: AsyncPool) -> None:
    always = Conflicting("40001", failures=9)
    with pytest.raises(errors.ConflictError):
        await pool.run(always, operation="move")
    assert always.calls == 4
    assert await ids(pool) == []


@pytest.mark.parametrize("sqlstate", ["55P03", "23505", "57014"])
async def test_other_failures_are_not_run_again(pool: AsyncPool, sqlstate: str) -> None:
    once = Conflicting(sqlstate, failures=9)
    with pytest.raises(errors.StoreError):
        await pool.run(once)
    assert once.calls == 1


async def test_a_block_is_never_run_again(pool: AsyncPool) -> None:
    once = Conflicting("40001", failures=9)
    with pytest.raises(errors.ConflictError):
        async with pool.begin() as connection:
            await once(connection)
    assert once.calls == 1


async def test_a_real_serialization_failure_is_cured(pool: AsyncPool) -> None:
    async with pool.begin() as connection:
        await connection.execute(things(1))
    calls = 0
    count = sa.text("SELECT count(*) FROM public.things")

    async def rename(connection: AsyncConnection) -> str:
        nonlocal calls
        calls += 1
        await connection.execute(count)
        if calls == 1:
            async with pool.begin(isolation="serializable") as other:
                await other.execute(sa.text("UPDATE public.things SET name = 'theirs'"))
        await connection.execute(sa.text("UPDATE public.things SET name = name || ', ours'"))
        return str((await connection.execute(sa.text("SELECT name FROM public.things"))).scalar_one())

    assert await pool.run(rename, isolation="serializable") == "theirs, ours"
    assert calls == 2


async def test_statements_are_prepared_and_cached(postgres_url: str) -> None:
    for prepared in (True, False):
        async with opened(postgres_url, pool=ONE, prepared=prepared) as pool:
            for number in range(8):
                async with pool.begin() as connection:
                    await connection.execute(sa.text("SELECT :number + 1"), {"number": number})
            async with pool.begin() as connection:
                found = await connection.execute(
                    sa.text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1%'")
                )
                assert found.scalar_one() == int(prepared)


async def test_a_slow_query_is_reported_with_its_plan_and_without_values(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "storekeeper.slow")
    async with opened(postgres_url, slow_query=0.1) as pool:
        async with pool.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE public.things (id int PRIMARY KEY, name text)"))
        async with pool.begin() as connection:
            await connection.execute(
                sa.text("INSERT INTO public.things SELECT :id, :name FROM pg_sleep(0.15)"), {"id": 1, "name": "Bob"}
            )
        async with pool.begin() as connection:
            await connection.execute(sa.text("SELECT 'Eve' FROM public.things, pg_sleep(0.15) WHERE name <> 'Eve'"))
        first, second = pool.slow_queries
        assert await ids(pool) == [1]
    assert "Insert on things" in first.plan
    assert "Seq Scan on things" in second.plan
    assert first.at == MOMENT
    assert first.seconds >= 0.1
    said = caplog.text + first.statement + first.plan + second.statement + second.plan
    assert "public.things" in said
    assert "Bob" not in said
    assert "Eve" not in said
    assert pool.statistics().slow == 2


async def test_explaining_runs_nothing(postgres_url: str) -> None:
    async with opened(postgres_url, slow_query=0.05) as pool:
        async with pool.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE public.things (id int, name text)"))
        async with pool.autocommit() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(0.1); INSERT INTO public.things VALUES (1)"))
            await connection.execute(sa.text("SELECT pg_sleep(0.1); SELECT pg_advisory_lock(3, 3)"))
        assert await ids(pool) == [1]
        async with pool.begin() as connection:
            locks = await connection.execute(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
            assert locks.scalar_one() == 0
        assert all(report.plan.startswith("no plan") for report in pool.slow_queries)
        assert len(pool.slow_queries) == 2


async def test_a_query_that_was_cut_off_is_slow_too(postgres_url: str) -> None:
    async with opened(postgres_url, slow_query=0.1) as pool:
        with pytest.raises(errors.StatementTimeoutError):
            async with pool.begin(local={"statement_timeout": "200ms"}) as connection:
                await connection.execute(sa.text("SELECT pg_sleep(:seconds)"), {"seconds": 3})
        (report,) = pool.slow_queries
        assert "Result" in report.plan


async def test_a_quick_query_is_not_reported(pool: AsyncPool) -> None:
    await ids(pool)
    assert pool.slow_queries == ()


async def test_statements_are_counted(pool: AsyncPool) -> None:
    async with pool.begin() as connection:
        await connection.execute(things(1, 2, 3))
    for _ in range(4):
        await ids(pool)
    counted = {statement.statement: statement for statement in pool.statistics().statements}
    selected = counted["SELECT id FROM public.things ORDER BY id"]
    assert (selected.calls, selected.rows, selected.failures) == (4, 12, 0)
    assert selected.seconds >= selected.longest > 0


async def test_a_connection_held_too_long_is_reported_with_its_place(
    pool: AsyncPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "storekeeper.pool")
    async with pool.autocommit():  # may be held
        with pytest.raises(errors.StatementTimeoutError):
            async with AsyncPostgres(pool).session(timeout=0.1):
                await asyncio.sleep(0.2)
    (record,) = caplog.records
    assert f"{__file__}:" in record.getMessage()


async def test_the_pool_keeps_its_numbers(postgres_url: str) -> None:
    async with opened(postgres_url, pool=SqlPool(wait=0.2)) as pool:
        assert pool.statistics().opened == 5
        async with AsyncExitStack() as held:
            for _ in range(25):
                await held.enter_async_context(pool.begin())
            full = pool.statistics()
            assert (full.checked_out, full.overflow, full.idle) == (25, 5, 0)
            with pytest.raises(errors.PoolTimeoutError) as caught:
                async with pool.begin(operation="read"):
                    pass
        assert "25 of 25" in str(caught.value)
        assert __file__ in str(caught.value)
        assert "pool_size" in caught.value.hint
        emptied = pool.statistics()
        assert (emptied.checked_out, emptied.idle, emptied.waits, emptied.timeouts) == (0, 20, 1, 1)
        assert emptied.wait_seconds >= 0.2


async def terminated(pool: AsyncPool, url: str) -> None:
    """Ends every session of the pool from the server's side."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (admin.info.dbname,),
        )
    await asyncio.sleep(0.1)


async def test_an_idle_connection_is_checked_before_use(postgres_url: str) -> None:
    async with opened(postgres_url, pool=SqlPool(idle_check=0)) as pool:
        await terminated(pool, postgres_url)
        async with pool.begin() as connection:
            assert (await connection.execute(sa.text("SELECT 1"))).scalar_one() == 1


async def test_one_in_use_a_moment_ago_is_not(postgres_url: str) -> None:
    async with opened(postgres_url, pool=SqlPool(idle_check=30)) as pool:
        await terminated(pool, postgres_url)
        with pytest.raises(errors.UnavailableError):
            async with pool.begin() as connection:
                await connection.execute(sa.text("SELECT 1"))
        assert pool.statistics().checked_out == 0


async def test_an_old_connection_is_replaced(postgres_url: str) -> None:
    async with opened(postgres_url, pool=SqlPool(min=1, size=1, overflow=0, recycle=1)) as pool:
        processes = []
        for pause in (0, 0, 1.5):
            await asyncio.sleep(pause)
            async with pool.begin() as connection:
                processes.append((await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one())
    assert processes[0] == processes[1] != processes[2]


async def test_a_pool_is_used_between_open_and_close(postgres_url: str) -> None:
    async with opened(postgres_url) as pool:
        await pool.open()  # a second time is no harm
        assert pool.server_version >= 150000
    for call in (pool.begin, pool.autocommit):
        with pytest.raises(errors.StoreError, match="closed"):
            async with call():
                pass
    await pool.close(1)
    with psycopg.connect(postgres_url) as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'storekeeper' AND datname = %s"
        for _ in range(100):
            left = admin.execute(query, (admin.info.dbname,)).fetchone()
            admin.rollback()
            if left == (0,):
                break
            await asyncio.sleep(0.02)
        assert left == (0,)


async def test_health_says_how_it_is(postgres_url: str) -> None:
    async with opened(postgres_url) as pool:
        store = AsyncPostgres(pool)
        well = await store.health()
        assert well.ok
        assert well.store == "postgres"
        assert well.version.startswith("PostgreSQL 1")
        assert 0 < well.seconds < 5
    ill = await store.health()
    assert not ill.ok
    assert "closed" in ill.detail


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "things"
    __table_args__ = {"schema": "public"}  # noqa: RUF012  # SQLAlchemy's own form

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


async def test_a_session_is_one_transaction(pool: AsyncPool) -> None:
    store = AsyncPostgres(pool)
    async with store.session() as session:
        thing = Thing(id=1, name="one")
        session.add(thing)
    assert thing.name == "one"  # readable without its session
    with pytest.raises(errors.UniqueError):
        async with store.session(operation="add a thing") as session:
            session.add(Thing(id=2))
            await session.flush()
            session.add(Thing(id=1))
    assert await ids(pool) == [1]


async def test_a_commit_within_a_session_is_no_end_of_its_transaction(pool: AsyncPool) -> None:
    async def careless(session: AsyncSession) -> None:
        session.add(Thing(id=1))
        await session.commit()
        raise LookupError

    store = AsyncPostgres(pool)
    with pytest.raises(LookupError):
        async with store.session() as session:
            await careless(session)
    assert await ids(pool) == []


async def test_the_store_runs_and_begins_as_its_pool_does(pool: AsyncPool) -> None:
    store = AsyncPostgres(pool)
    assert await store.run(Conflicting("40001", failures=1)) == 2
    async with store.begin(local={"lock_timeout": "1s"}) as connection:
        assert (await connection.execute(sa.text("SHOW lock_timeout"))).scalar_one() == "1s"
    assert await ids(pool) == [2]
