"""The WASM TimescaleDB has one backend for all: whoever waits for it for too long, or for ever, is told why."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from wasm_timescale import UnavailableHereError, WasmTimescale, wasm_timescale

pytestmark = pytest.mark.faults


@pytest.fixture
def server(wasm_server: WasmTimescale) -> Iterator[WasmTimescale]:
    wasm_server.restore("clean")
    yield wasm_server
    wasm_server.be_patient(60)


def test_who_waits_too_long_is_told_who_has_it(server: WasmTimescale) -> None:
    server.be_patient(0.3)
    with psycopg.connect(server.url, application_name="holds it") as holds, psycopg.connect(server.url) as waits:
        holds.execute("SELECT 1 AS one")
        with pytest.raises(psycopg.errors.InternalError_, match=r"waited 0\.3 s .* \(holds it: SELECT 1 AS one\)"):
            waits.execute("SELECT 2")
        assert waits.closed
        assert holds.execute("SELECT 3").fetchone() == (3,), "and it goes on for all others"
    with psycopg.connect(server.url) as others:
        assert others.execute("SELECT 4").fetchone() == (4,)


def test_who_waits_can_be_cancelled(server: WasmTimescale) -> None:
    with psycopg.connect(server.url) as holds, psycopg.connect(server.url, autocommit=True) as waits:
        holds.execute("SELECT 1")
        timer = threading.Timer(0.2, waits.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waits.execute("SELECT 2")
        timer.join()
        holds.rollback()
        assert waits.execute("SELECT 3").fetchone() == (3,)


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_copy_can_be_cancelled(server: WasmTimescale, in_transaction: bool) -> None:
    with psycopg.connect(server.url, autocommit=not in_transaction) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.commit()
        with pytest.raises(psycopg.errors.QueryCanceled), connection.cursor().copy("COPY kept FROM STDIN") as copy:
            copy.write_row((1,))
            connection.cancel_safe()
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_copy_whose_client_has_gone_leaves_nothing(server: WasmTimescale) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        with psycopg.connect(server.url, autocommit=True) as other:
            other.pgconn.send_query(b"COPY kept FROM STDIN")
            assert other.pgconn.get_result() is not None
            other.pgconn.put_copy_data(b"1\n")
            other.pgconn.finish()
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_two_copies_at_once_are_two(server: WasmTimescale) -> None:
    """Of one that waits for its turn, another's rows take no place."""
    with psycopg.connect(server.url) as holds, psycopg.connect(server.url, autocommit=True) as waits:
        holds.execute("CREATE TABLE kept (n int)")
        holds.commit()
        holds.execute("SELECT 1")

        def copied() -> None:
            with waits.cursor().copy("COPY kept FROM STDIN") as copy:
                copy.write_row((1,))

        thread = threading.Thread(target=copied)
        thread.start()
        thread.join(0.2)
        with holds.cursor().copy("COPY kept FROM STDIN") as copy:
            copy.write_row((2,))
        holds.commit()
        thread.join()
        assert holds.execute("SELECT array_agg(n ORDER BY n) FROM kept").fetchone() == ([1, 2],)


def test_a_server_that_is_stuck_ends_and_says_in_what() -> None:
    told = r"\(see (.+?)\): stuck: .* in client \d+ \(postgres: SELECT count\(\*\) FROM g"
    try:
        with pytest.raises(RuntimeError, match=told) as caught, wasm_timescale() as server:
            server.be_patient(0.5)
            with pytest.raises(psycopg.OperationalError), psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("SELECT count(*) FROM generate_series(1, 10000000000)")
    except UnavailableHereError as reason:
        pytest.skip(f"no WASM TimescaleDB: {reason}")
    found = re.search(told, str(caught.value))
    assert found is not None
    Path(found[1]).unlink()
