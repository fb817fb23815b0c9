"""Deadlocks, lost connections, cancelled tasks, more clients than connections: a transaction is done or refused."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from outbox_lab import CATALOG, NOTED, Note, execute
from storekeeper import AsyncPlatform, Platform, connect, connect_async, record_async
from storekeeper.errors import ConflictError, PoolTimeoutError, UnavailableError
from storekeeper.settings import SqlPool
from suspensions import Suspensions, wait

pytestmark = pytest.mark.faults

TABLES = """
CREATE TABLE public.accounts (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO public.accounts SELECT id, 100 FROM generate_series(1, 4) AS id;
CREATE TABLE public.transfers (id uuid PRIMARY KEY, payer int, payee int, amount int);
"""
PAY = sa.text("UPDATE public.accounts SET balance = balance + :amount WHERE id = :id")
NOTE = sa.text(
    "INSERT INTO public.transfers VALUES (:key, :payer, :payee, :amount) ON CONFLICT DO NOTHING RETURNING id"
)
CUT = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
ANSWERED = "SELECT balance FROM public.accounts ORDER BY id"
#: Deadlocks are found at once, so that many come about.
SOON = {"deadlock_timeout": "5ms"}


@pytest.fixture
def url(postgres_url: str) -> str:
    execute(postgres_url, TABLES)
    return postgres_url


@pytest.fixture
def platform(url: str) -> Iterator[Platform]:
    with connect(stores=("postgres",), postgres_url=url) as opened:
        yield opened


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def left_behind(url: str) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'",
    )


def transfers(number: int) -> Iterator[dict[str, Any]]:
    """What a client has in mind: any two accounts, in any order."""
    random = Random(number)
    for _ in range(4):
        payer, payee = random.sample(range(1, 5), 2)
        yield {"key": uuid4(), "payer": payer, "payee": payee, "amount": random.randrange(1, 10)}


def test_a_storm_of_deadlocks_ends_with_each_transaction_done_or_refused(platform: Platform, url: str) -> None:
    outcomes: Counter[str] = Counter()
    counted = threading.Lock()

    def told(outcome: str) -> None:
        with counted:
            outcomes[outcome] += 1

    def in_thread(number: int) -> None:
        for wanted in transfers(number):

            def transfer(session: Session, wanted: dict[str, Any] = wanted) -> None:
                session.execute(PAY, {"id": wanted["payer"], "amount": -wanted["amount"]})
                session.execute(sa.text("SELECT pg_sleep(0.01)"))
                session.execute(PAY, {"id": wanted["payee"], "amount": wanted["amount"]})
                session.execute(NOTE, wanted)

            try:
                platform.postgres.perform(transfer, local=SOON)
                told("done")
            except ConflictError:
                told("refused")

    async def in_task(asynchronous: AsyncPlatform, number: int) -> None:
        for wanted in transfers(number):

            async def transfer(session: AsyncSession, wanted: dict[str, Any] = wanted) -> None:
                await session.execute(PAY, {"id": wanted["payer"], "amount": -wanted["amount"]})
                await session.execute(sa.text("SELECT pg_sleep(0.01)"))
                await session.execute(PAY, {"id": wanted["payee"], "amount": wanted["amount"]})
                await session.execute(NOTE, wanted)

            try:
                await asynchronous.postgres.perform(transfer, local=SOON)
                told("done")
            except ConflictError:
                told("refused")

    async def tasks() -> None:
        async with connect_async(stores=("postgres",), postgres_url=url) as asynchronous:
            await asyncio.gather(*(in_task(asynchronous, number) for number in range(8, 16)))

    with ThreadPoolExecutor(9) as threads:
        ended = [threads.submit(in_thread, number) for number in range(8)]
        ended.append(threads.submit(lambda: asyncio.run(tasks())))
        for each in ended:
            each.result()

    ((deadlocks,),) = rows(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks > 0, "there was no storm"
    assert sum(outcomes.values()) == 16 * 4
    assert outcomes["done"] > 0
    # a transfer that was done was done once, one that was refused not at all
    assert rows(url, "SELECT count(*) FROM public.transfers") == [(outcomes["done"],)]
    assert rows(url, ANSWERED) == rows(
        url,
        "SELECT 100 + coalesce(sum(amount) FILTER (WHERE payee = id_of), 0)"
        " - coalesce(sum(amount) FILTER (WHERE payer = id_of), 0)"
        " FROM generate_series(1, 4) AS id_of LEFT JOIN public.transfers ON id_of IN (payer, payee)"
        " GROUP BY id_of ORDER BY id_of",
    )
    assert left_behind(url) == []


@pytest.mark.parametrize("how", ["by its own statement", "by somebody else"])
def test_a_lost_connection_is_made_good_where_twice_is_once(platform: Platform, url: str, how: str) -> None:
    wanted = {"key": uuid4(), "payer": 1, "payee": 2, "amount": 7}
    attempts = 0

    def transfer(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        if once(session, wanted):
            session.execute(PAY, {"id": 1, "amount": -7})
            if attempts == 1:
                if how == "by its own statement":
                    session.execute(CUT)
                cut_others(url)
            session.execute(PAY, {"id": 2, "amount": 7})

    platform.postgres.perform(transfer, repeatable=True)
    assert attempts == 2
    assert rows(url, ANSWERED) == [(93,), (107,), (100,), (100,)]
    assert left_behind(url) == []


def test_a_commit_whose_answer_was_lost_is_not_done_twice(url: str, tmp_path: Path) -> None:
    """Nobody can tell it from one that never arrived: it is done again, and its key says that it was done."""
    wanted = {"key": uuid4(), "payer": 1, "payee": 2, "amount": 7}
    found_new: list[bool] = []

    def transfer(session: Session) -> None:
        found_new.append(once(session, wanted))
        if found_new[-1]:
            session.execute(PAY, {"id": 1, "amount": -7})
            session.execute(PAY, {"id": 2, "amount": 7})

    with Wire(url, tmp_path) as wire, connect(stores=("postgres",), postgres_url=wire.url) as platform:
        wire.cut_at(b"COMMIT")
        platform.postgres.perform(transfer, repeatable=True)
    assert found_new == [True, False]
    assert rows(url, ANSWERED) == [(93,), (107,), (100,), (100,)]


def once(session: Session, wanted: dict[str, Any]) -> bool:
    """Whether this is the first time that the transfer is committed."""
    return session.execute(NOTE, wanted).one_or_none() is not None


class Wire:
    """A way to the server that can be cut after the server has done what it was told, and before it is heard."""

    def __init__(self, url: str, folder: Path) -> None:
        info = psycopg.conninfo.conninfo_to_dict(url)
        self._server = f"{info['host']}/.s.PGSQL.{info.get('port', 5432)}"
        self.url = f"postgresql://{info.get('user', '')}:{info.get('password', '')}@/{info['dbname']}?host={folder}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/.s.PGSQL.5432")
        self._listener.listen()
        self._ends: list[socket.socket] = [self._listener]
        self._at: bytes | None = None

    def cut_at(self, word: bytes) -> None:
        """Has the next connection that says this cut when the server answers."""
        self._at = word

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends += [client, server]
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for end in ready:
                    said = end.recv(65536)
                    if not said:
                        return
                    (server if end is client else client).sendall(said)
                    if end is client and self._at is not None and self._at in said:
                        self._at = None
                        server.recv(65536)  # it is done
                        return


async def test_a_lost_connection_is_said_where_twice_might_be_twice(url: str) -> None:
    attempts = 0

    async def transfer(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(PAY, {"id": 1, "amount": -7})
        if attempts == 1:
            await session.execute(CUT)

    async with connect_async(stores=("postgres",), postgres_url=url) as platform:
        with pytest.raises(UnavailableError):
            await platform.postgres.perform(transfer)
        assert attempts == 1
        assert rows(url, ANSWERED) == [(100,)] * 4
        # the next one has a connection that works
        await platform.postgres.perform(transfer)
    assert rows(url, ANSWERED) == [(93,), (100,), (100,), (100,)]
    with connect(stores=("postgres",), postgres_url=url) as synchronous:
        with pytest.raises(UnavailableError), synchronous.postgres.session() as session:
            session.execute(PAY, {"id": 1, "amount": -7})
            session.execute(CUT)
    assert rows(url, ANSWERED) == [(93,), (100,), (100,), (100,)]


def cut_others(url: str) -> None:
    rows(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND application_name = 'storekeeper'",
    )


async def in_a_session(platform: AsyncPlatform) -> None:
    async with platform.postgres.session(user_id="6f1c") as session:
        await session.execute(PAY, {"id": 1, "amount": 0})
        async with session.begin_nested():
            await session.execute(PAY, {"id": 2, "amount": 0})


async def performed(platform: AsyncPlatform) -> None:
    async def work(session: AsyncSession) -> None:
        await session.execute(PAY, {"id": 1, "amount": 0})
        await record_async(session, NOTED, key="a", payload=Note(text="one"))

    await platform.postgres.perform(work, repeatable=True)


async def test_a_session_cancelled_at_any_await_leaves_no_transaction(url: str) -> None:
    await cancelled_everywhere(url, in_a_session)


async def test_an_operation_cancelled_at_any_await_leaves_no_transaction(migrated_url: str) -> None:
    execute(migrated_url, TABLES)
    await cancelled_everywhere(migrated_url, performed)


async def cancelled_everywhere(url: str, work: Callable[[AsyncPlatform], Coroutine[Any, Any, None]]) -> None:
    pool = SqlPool(min=1, size=2, overflow=0)
    async with connect_async(stores=("postgres",), postgres_url=url, catalog=CATALOG, pool=pool) as platform:
        cancelled = 0
        for first in range(1, 300):
            task = asyncio.create_task(wait(Suspensions(work(platform), first, None)))
            ((outcome),) = await asyncio.gather(task, return_exceptions=True)
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
            assert platform.postgres.pool.statistics().checked_out == 0, first
            for _ in range(200):  # the server learns of a connection that was cut a moment later
                if not left_behind(url):
                    break
                await asyncio.sleep(0.01)
            assert left_behind(url) == [], first
            if outcome is None:
                break
            cancelled = first
        assert cancelled >= 4  # BEGIN, its statements, COMMIT
        await work(platform)


def test_forty_clients_share_twenty_five_connections_fairly(url: str) -> None:
    turns = [0] * 40
    longest = [0.0] * 40
    end = threading.Event()
    with connect(stores=("postgres",), postgres_url=url) as platform:

        def client(number: int) -> None:
            while not end.is_set():
                began = monotonic()
                with platform.postgres.begin() as connection:
                    longest[number] = max(longest[number], monotonic() - began)
                    connection.execute(sa.text("SELECT pg_sleep(0.01)"))
                turns[number] += 1

        with ThreadPoolExecutor(40) as threads:
            clients = [threads.submit(client, number) for number in range(40)]
            assert not end.wait(3)
            end.set()
            for each in clients:
                each.result()
        statistics = platform.postgres.pool.statistics()
    assert (statistics.most, statistics.opened, statistics.timeouts) == (25, 25, 0)
    assert statistics.waits > sum(turns) / 2
    # one after the other: whoever gives a connection back goes to the end of the line
    assert min(turns) >= 0.7 * max(turns), sorted(turns)
    assert max(longest) < 2, "a turn is a hundredth of a second, and fifteen are before it"


async def test_forty_tasks_share_twenty_five_connections_fairly(url: str) -> None:
    turns = [0] * 40
    async with connect_async(stores=("postgres",), postgres_url=url) as platform:
        end = monotonic() + 3

        async def client(number: int) -> None:
            while monotonic() < end:
                async with platform.postgres.begin() as connection:
                    await connection.execute(sa.text("SELECT pg_sleep(0.01)"))
                turns[number] += 1

        await asyncio.gather(*(client(number) for number in range(40)))
        statistics = platform.postgres.pool.statistics()
    assert (statistics.opened, statistics.timeouts) == (25, 0)
    assert min(turns) >= 0.6 * max(turns), sorted(turns)


def test_who_waits_too_long_is_told_who_holds_the_connections(url: str) -> None:
    pool = SqlPool(min=1, size=20, overflow=5, wait=0.2)
    with connect(stores=("postgres",), postgres_url=url, pool=pool) as platform, ExitStack() as held:
        for _ in range(25):
            held.enter_context(platform.postgres.begin())
        with pytest.raises(PoolTimeoutError) as caught, platform.postgres.begin(operation="pay", target="a bill"):
            raise AssertionError("there was a twenty-sixth connection")
        text = str(caught.value)
        assert text.startswith(
            "pay a bill: no connection became free within 0.2 s; 25 of 25 are held, the longest for "
        )
        assert "test_relational_bad_days.py" in text
        assert "HINT: raise pool_size or pool_overflow" in text
        assert caught.value.retryable
