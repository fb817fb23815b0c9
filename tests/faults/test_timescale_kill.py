"""Retention and appends that are killed at any moment: the next run goes on, no row is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from series_servers import SeriesServer, parametrize_engines
from storekeeper.errors import StorekeeperError
from storekeeper.stores.timescale.timescale import Timescale
from timescale_series import TICKS, moment, script
from timescale_stores import opened

pytestmark = [pytest.mark.faults, pytest.mark.one_backend]

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
DAYS = 24
AS_OF = START + timedelta(days=30 + DAYS - 4)

_RETENTION = """
import sys
from timescale_stores import opened
from timescale_series import moment
from series_servers import engine_at
with opened(sys.argv[1], engine_at(sys.argv[1])) as store:
    print("ready", flush=True)
    store.drop_chunks("lab.ticks", as_of=moment(sys.argv[2]))
    print("done", flush=True)
"""

_APPENDS = """
import sys
from datetime import timedelta
from timescale_stores import opened
from timescale_series import moment
from series_servers import engine_at
start = moment(sys.argv[2])
with opened(sys.argv[1], engine_at(sys.argv[1])) as store:
    print("ready", flush=True)
    for batch in range(1000):
        day = start + timedelta(days=batch)
        rows = [
            {"time": day + timedelta(hours=hour), "symbol": "A", "price": 1, "volume": 1} for hour in range(-12, 36, 2)
        ]
        store.upsert("lab.ticks", rows)
        print(batch, flush=True)
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_engines(metafunc)


@pytest.fixture
def url(series_server: SeriesServer) -> Iterator[str]:
    with series_server.database(script(series_server.engine, [TICKS])) as url:
        yield url


@pytest.fixture
def store(url: str, series_server: SeriesServer) -> Iterator[Timescale]:
    with opened(url, series_server.engine) as store:
        yield store


#: What holds the rows of the series, attached or not.
_TABLES = {
    "partitions": "SELECT count(*) FROM pg_class WHERE relname ~ '^ticks_p[0-9]+$' AND relkind = 'r'",
    "hypertables": "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid IN (SELECT inhrelid FROM pg_inherits "
    "WHERE inhparent = 'lab.ticks'::regclass)",
}


@pytest.fixture
def psql(url: str) -> Iterator[Psql]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def filled(store: Timescale, psql: Psql) -> list[tuple[object, ...]]:
    """Days of rows, some of them late for a refresh; returns what the hours must hold for good."""
    rows = [
        {"time": START + timedelta(minutes=15 * step), "symbol": symbol, "price": 1 + step % 97, "volume": 0.25}
        for step in range(96 * DAYS)
        for symbol in ("A", "B")
    ]
    store.append("lab.ticks", rows)
    store.refresh("lab.ticks", as_of=START + timedelta(days=9))
    psql.execute("UPDATE lab.ticks SET price = price + 1 WHERE extract(hour FROM time) = 7")
    psql.execute("DELETE FROM lab.ticks WHERE extract(hour FROM time) = 9 AND symbol = 'B'")
    return psql.execute(
        "SELECT date_bin('1 hour', time, '2000-01-03Z'), symbol, max(price), sum(volume), sum(price * volume), "
        "count(*) FROM lab.ticks GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()


def hours(psql: Psql) -> list[tuple[object, ...]]:
    return psql.execute(
        "SELECT bucket, symbol, high, volume, notional, count FROM lab.ticks_1h ORDER BY 1, 2"
    ).fetchall()


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": tests}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def killed(process: subprocess.Popen[str]) -> str:
    """kill -9; returns what it had said until then."""
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=30)
    return said


def settle(psql: Psql) -> None:
    """Waits until the server has noticed that the clients are gone."""
    deadline = time.monotonic() + 30
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    while psql.execute(others).fetchone() != (0,) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_retention_killed_again_and_again(store: Timescale, psql: Psql, url: str, series_server: SeriesServer) -> None:
    expected = filled(store, psql)
    chance = random.Random(7)
    kills, most = 0, 8 if series_server.engine.name == "partitions" else 4
    while kills < most:
        process = started(_RETENTION, url, f"{AS_OF:%Y-%m-%d %H:%M}")
        time.sleep(chance.uniform(0.0, 0.35))
        if "done" in killed(process):
            break
        kills += 1
        settle(psql)
    assert kills, "the kill came too late to mean anything"
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert len(store.chunks("lab.ticks")) == 4
    tables = psql.execute(_TABLES[series_server.engine.name].encode()).fetchone()
    assert tables == (4,), "nothing is left detached"
    store.refresh("lab.ticks", as_of=AS_OF + timedelta(days=60))
    assert hours(psql) == expected


def test_sessions_that_the_server_ends(store: Timescale, url: str, series_server: SeriesServer) -> None:
    with psycopg.connect(url, autocommit=True) as before:
        expected = filled(store, before)
    chance = random.Random(11)
    ended = 0
    for _ in range(4):
        process = started(_RETENTION, url, f"{AS_OF:%Y-%m-%d %H:%M}")
        time.sleep(chance.uniform(0.0, 0.3))
        ended += bool(series_server.end_sessions(url))
        process.communicate(timeout=60)
    assert ended
    for _ in range(3):
        try:  # the store's own idle connections may have been ended too
            store.drop_chunks("lab.ticks", as_of=AS_OF)
            break
        except StorekeeperError as error:
            assert error.retryable  # noqa: PT017  # the loop is over what may be tried again
    store.refresh("lab.ticks", as_of=AS_OF + timedelta(days=60))
    with psycopg.connect(url, autocommit=True) as after:
        assert hours(after) == expected


def test_an_append_that_was_killed_left_all_of_a_batch_or_none(store: Timescale, psql: Psql, url: str) -> None:
    for batches, seconds in ((1, 0.01), (4, 0.05)):
        begin = START + timedelta(days=2_000 * batches)
        process = started(_APPENDS, url, f"{begin:%Y-%m-%d %H:%M}")
        assert process.stdout is not None
        acknowledgements = [process.stdout.readline() for _ in range(batches)]
        time.sleep(seconds)  # somewhere within one of the next
        said = [*acknowledgements, *killed(process).split()]
        settle(psql)
        rows = psql.execute("SELECT time FROM lab.ticks WHERE time >= %s ORDER BY 1", (begin - timedelta(days=1),))
        times = [row[0] for row in rows.fetchall()]
        acknowledged = len(said)
        found = (len(times) - 12) // 12 if times else 0
        assert found in (acknowledged, acknowledged + 1), "nothing acknowledged is missing, at most one batch more"
        assert len(times) == (12 * found + 12 if found else 0)
    store.refresh("lab.ticks", as_of=START + timedelta(days=10_000))
    counted = psql.execute("SELECT (SELECT sum(count) FROM lab.ticks_1h), (SELECT count(*) FROM lab.ticks)").fetchone()
    assert counted is not None
    assert counted[0] == counted[1]
