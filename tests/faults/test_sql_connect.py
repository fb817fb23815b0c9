"""What is said when a SQL store cannot be opened, or is lost."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper import errors
from storekeeper.clock import SystemClock
from storekeeper.servers import RunningStack
from storekeeper.settings import SqlPool
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.pool_async import AsyncPool

pytestmark = pytest.mark.faults

OPTIONS: dict[str, Any] = {
    "pool": SqlPool(min=2, size=4, overflow=0),
    "connect_timeout": 2,
    "transaction_timeout": 30,
    "slow_query": 30,
    "prepared": True,
    "store": "postgres",
    "clock": SystemClock(),
}


async def refusal(url: str) -> errors.StorekeeperError:
    """The error of opening `url`, the same from both twins."""
    pool = AsyncPool(url, **OPTIONS)
    with pytest.raises(errors.StorekeeperError) as caught:
        await pool.open()
    twin = Pool(url, **OPTIONS)
    with pytest.raises(type(caught.value)):
        twin.open()
    assert pool.statistics().checked_out == 0
    assert caught.value.hint
    assert caught.value.operation == "connect"
    return caught.value


def changed(url: str, *, user: str | None = None, password: str | None = None, database: str | None = None) -> str:
    parts = urlsplit(url)
    credentials = f"{quote(user or parts.username or '')}:{quote(password or parts.password or '')}"
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{credentials}@{address}", path=f"/{database}" if database else parts.path).geturl()


async def test_a_wrong_password(postgres_url: str) -> None:
    error = await refusal(changed(postgres_url, password="wr0ng-pass"))
    assert type(error) is errors.AuthenticationError
    assert "wr0ng-pass" not in str(error)


async def test_no_password_where_the_server_asks_for_one(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    parts = urlsplit(postgres_url)
    user, _, address = parts.netloc.rpartition("@")
    error = await refusal(parts._replace(netloc=f"{user.partition(':')[0]}@{address}").geturl())
    assert type(error) is errors.AuthenticationError
    assert "asks for a password" in error.cause


async def test_a_wrong_user(postgres_url: str) -> None:
    assert type(await refusal(changed(postgres_url, user="nobody_at_all"))) is errors.AuthenticationError


async def test_a_missing_database(postgres_url: str) -> None:
    error = await refusal(changed(postgres_url, database="not_there"))
    assert type(error) is errors.DatabaseMissingError
    assert "storekeeper migrate --create" in error.hint


async def test_a_role_without_room_for_more(postgres_url: str) -> None:
    role = f"narrow_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1")
        try:
            error = await refusal(changed(postgres_url, user=role, password="narrow"))
        finally:
            admin.execute(f"DROP ROLE {role}")
    assert type(error) is errors.UnavailableError
    assert "max_connections" in error.hint


async def test_nothing_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    error = await refusal(f"postgresql://app:pw@127.0.0.1:{port}/x")
    assert type(error) is errors.UnavailableError
    assert "storekeeper up" in error.hint


async def test_there_is_no_such_socket() -> None:
    assert type(await refusal("postgresql://app:pw@/x?host=/nowhere")) is errors.UnavailableError


async def test_there_is_no_such_host() -> None:
    assert type(await refusal("postgresql://app:pw@nowhere.invalid/x")) is errors.UnavailableError


async def test_an_option_that_libpq_does_not_know(postgres_url: str) -> None:
    with pytest.raises(errors.SettingsError, match="poolsize"):
        await AsyncPool(f"{postgres_url}&poolsize=3", **OPTIONS).open()


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server that is not PostgreSQL: it says `answer` to whoever calls, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls: list[socket.socket] = []

        def answer_calls() -> None:
            while True:
                try:
                    call, _ = server.accept()
                except OSError:
                    return
                calls.append(call)
                if answer is not None:
                    call.recv(100)
                    call.sendall(answer)
                    call.close()

        thread = threading.Thread(target=answer_calls)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for call in calls:
                call.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", b"", None])
async def test_another_kind_of_server(answer: bytes | None) -> None:
    with answering(answer) as port:
        started = time.monotonic()
        error = await refusal(f"postgresql://app:pw@127.0.0.1:{port}/x")
        assert time.monotonic() - started < 12
    assert type(error) in (errors.UnavailableError, errors.WrongServerError)
    assert "PostgreSQL server" in error.hint


async def test_a_mongodb_server_is_no_postgresql(stack: RunningStack) -> None:
    parts = urlsplit(stack.urls.mongo)
    error = await refusal(f"postgresql://app:pw@{parts.hostname}:{parts.port}/x")
    assert type(error) in (errors.UnavailableError, errors.WrongServerError)
    assert "PostgreSQL server" in error.hint


def test_a_server_that_is_too_old(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storekeeper.stores.sql.listeners.OLDEST", 990000)
    pool = Pool(postgres_url, **OPTIONS)
    with pytest.raises(errors.WrongServerError) as caught:
        pool.open()
    assert caught.value.hint
    assert pool.statistics().checked_out == 0


def test_a_session_that_the_server_ends_is_unavailable_and_replaced(postgres_url: str) -> None:
    pool = Pool(postgres_url, **OPTIONS)
    pool.open()
    with pytest.raises(errors.UnavailableError) as caught, pool.begin(operation="read") as connection:
        process = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (process,))
        connection.execute(sa.text("SELECT 1"))
    assert caught.value.retryable
    for _ in range(4):
        with pool.begin() as connection:
            assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    pool.close(1)
