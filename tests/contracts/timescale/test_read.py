# Generated from test_read_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows out by COPY in binary: what psycopg reads as text, streamed or at once, and a clean end however it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from psycopg.pq import TransactionStatus

from storekeeper.errors import (
    InputError,
    NotMigratedError,
    PermissionDeniedError,
    StatementTimeoutError,
    UnavailableError,
    ValueFitError,
)
from storekeeper.span import hours
from storekeeper.stores.timescale.answers import keys_told
from storekeeper.stores.timescale.streaming import Batches
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale import tiers
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
ROWS = 4_000
SYMBOLS = ("AAPL", "GOOGL", 'é\'s \\ "%(x)s" %', "Ω" * 32)
#: Rows of any kind, made on the server: NULLs, long and short numbers, texts of several lengths.
FILL = """
INSERT INTO lab.ticks (time, symbol, price, volume, bid, ask)
SELECT timestamptz '2014-05-01 00:00Z' + n / 4 * interval '1 second', (%s::text[])[n %% 4 + 1],
       1 + n * 12345.678901 %% 99999, CASE WHEN n %% 5 = 0 THEN n ELSE n * 1234567.12345678 END,
       CASE WHEN n %% 3 = 0 THEN NULL ELSE n / 64.0 END, CASE WHEN n %% 100 = 0 THEN 'NaN'::numeric ELSE -n END
FROM generate_series(%s::int, %s::int) AS n
"""


def fill(psql: Psql, start: int, end: int) -> None:
    psql.execute(FILL, [list(SYMBOLS), start, end - 1])


@pytest.fixture
def store(series_url: str, engine: Engine, psql: Psql) -> Iterator[Timescale]:
    with opened(series_url, engine) as store:
        store.make_chunks_ahead("lab.ticks", as_of=START, count=1)
        fill(psql, 0, ROWS)
        yield store


def taken(batches: Batches) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = []
    for batch in batches:
        found += (batch,)
    return found


def clean(store: Timescale) -> None:
    """Nothing is borrowed any more, and what the pool gives works."""
    for _ in range(500):  # the garbage collector's own clean-up is a task of the loop
        if not store.pool.statistics().checked_out:
            break
        time.sleep(0.01)
    assert store.pool.statistics().checked_out == 0
    with store.pool.begin() as connection:
        assert (connection.execute(sa.text("SELECT 1"))).scalar_one() == 1
        raw = connection.connection
        driver: Any = raw.driver_connection
        assert driver.pgconn.transaction_status == TransactionStatus.INTRANS


@pytest.mark.one_backend
def test_what_is_read_is_what_the_server_shows_as_text(store: Timescale, psql: Psql) -> None:
    shown = psql.execute(
        "SELECT extract(epoch FROM time)::text, symbol, price::text, volume::text, bid::text, price::float8::text, "
        "volume::float8::text, bid::float8::text, ask::float8::text FROM lab.ticks ORDER BY time, symbol"
    ).fetchall()
    floats = store.raw("lab.ticks")
    exact = store.raw("lab.ticks", exact=True, columns=["time", "symbol", "price", "volume", "bid"])
    assert floats.num_rows == ROWS
    assert exact.schema.types[2:4] == [pa.decimal128(18, 6), pa.decimal128(24, 8)]
    for place, name in ((2, "price"), (3, "volume"), (4, "bid")):
        assert exact.column(name).to_pylist() == [
            None if row[place] is None else Decimal(str(row[place])) for row in shown
        ]
    for place, name in ((5, "price"), (6, "volume"), (7, "bid"), (8, "ask")):
        found = [None if value is None else repr(value) for value in floats.column(name).to_pylist()]
        assert found == [None if row[place] is None else repr(float(str(row[place]))) for row in shown]
    for table in (floats, exact):
        assert table.column("symbol").to_pylist() == [row[1] for row in shown]
        micros = table.column("time").cast(pa.int64()).to_pylist()
        assert micros == [int(Decimal(str(row[0])) * 1_000_000) for row in shown]


@pytest.mark.one_backend
def test_every_type_of_a_column(store: Timescale) -> None:
    rows = [
        {"at": START, "station": UUID(int=7), "kind": -3, "value": 0.1, "note": {"a": "é'\\"}},
        {"at": START + timedelta(microseconds=1), "station": UUID(int=7), "kind": 2, "value": None, "note": {}},
    ]
    store.append("lab.Readings", rows)
    table = store.raw("lab.Readings", where={"station": [UUID(int=7)], "kind": [-3, 2]})
    assert [row["note"] for row in table.to_pylist()] == ['{"a": "é\'\\\\"}', "{}"]
    assert table.schema.field("kind").type == pa.int16()
    assert table.drop_columns(["note"]).to_pylist() == [
        {"at": row["at"], "station": str(row["station"]), "kind": row["kind"], "value": row["value"]} for row in rows
    ]


def test_a_decimal_that_arrow_has_no_room_for(store: Timescale) -> None:
    with pytest.raises(ValueFitError, match=r"lab\.ticks.*NaN") as caught:
        store.raw("lab.ticks", exact=True)
    assert caught.value.column == "ask"
    clean(store)


@pytest.mark.one_backend
def test_values_are_quoted(store: Timescale) -> None:
    end = START + timedelta(minutes=10)
    for symbol in SYMBOLS:
        table = store.raw("lab.ticks", where={"symbol": [symbol, None, "'); DROP TABLE lab.ticks; --"]}, end=end)
        assert (table.num_rows, set(table.column("symbol").to_pylist())) == (600, {symbol})
        latest = store.latest("lab.ticks", [symbol, "'', NULL"])
        assert latest.column("symbol").to_pylist() == [symbol]
    prices = table.column("price").slice(0, 3).to_pylist()
    again = store.raw("lab.ticks", where={"price": [Decimal(str(price)) for price in prices]}, limit=50)
    assert set(prices) <= set(again.column("price").to_pylist())
    assert (store.raw("lab.ticks", where={"symbol": []})).num_rows == 0


@pytest.mark.one_backend
def test_a_text_with_a_nul_is_refused(store: Timescale) -> None:
    with pytest.raises(ValueFitError, match="NUL"):
        store.raw("lab.ticks", where={"symbol": ["A\0"]})
    clean(store)


@pytest.mark.one_backend
def test_a_stream_is_the_same_rows(store: Timescale) -> None:
    whole = store.raw("lab.ticks")
    batches = store.stream("lab.ticks", batch_rows=1_000)
    assert batches.schema == whole.schema
    found = taken(batches)
    assert [batch.num_rows for batch in found] == [1_000] * (ROWS // 1_000)
    streamed = pa.Table.from_batches(found)
    assert streamed.drop_columns(["ask"]).equals(whole.drop_columns(["ask"]))
    assert list(map(repr, streamed.column("ask").to_pylist())) == list(map(repr, whole.column("ask").to_pylist()))
    assert taken(store.stream("lab.ticks", start=START + timedelta(days=20))) == []
    empty = store.raw("lab.ticks", start=START + timedelta(days=20))
    assert (empty.num_rows, empty.schema) == (0, whole.schema)


@pytest.mark.one_backend
def test_instants_in_a_zone(store: Timescale) -> None:
    day = START + timedelta(minutes=1)
    utc = store.raw("lab.ticks", end=day)
    for table in (
        store.raw("lab.ticks", end=day, zone="America/New_York"),
        pa.Table.from_batches(taken(store.stream("lab.ticks", end=day, zone="America/New_York"))),
    ):
        assert table.schema.field("time").type == pa.timestamp("us", tz="America/New_York")
        assert table.column("time").to_pylist() == utc.column("time").to_pylist()
        assert table.column("time")[0].as_py().hour == 20
    latest = store.latest("lab.ticks", ["AAPL"], zone="Asia/Tokyo")
    assert latest.schema.field("time").type == pa.timestamp("us", tz="Asia/Tokyo")
    for zone in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(InputError, match="no time zone"):
            store.raw("lab.ticks", zone=zone)


def test_a_batch_has_rows(store: Timescale) -> None:
    with pytest.raises(InputError, match="batch_rows=0"):
        store.stream("lab.ticks", batch_rows=0)


@pytest.mark.one_backend
def test_who_stops_early_leaves_the_connection_clean(store: Timescale, psql: Psql) -> None:
    fill(psql, ROWS, 50_000)  # more than the socket holds: the server has not finished
    with store.stream("lab.ticks", batch_rows=100) as batches:
        for batch in batches:
            assert batch.num_rows == 100
            break
    assert store.pool.statistics().checked_out == 0
    closed = store.stream("lab.ticks", batch_rows=100)
    next(closed)
    assert store.pool.statistics().checked_out == 1
    closed.close()
    assert store.pool.statistics().checked_out == 0
    closed.close()
    with pytest.raises(StopIteration):
        next(closed)
    never = store.stream("lab.ticks")
    never.close()
    for _ in store.stream("lab.ticks", batch_rows=100):
        break
    clean(store)


@pytest.mark.one_backend
def test_an_error_of_the_reader_is_its_own(store: Timescale) -> None:
    with pytest.raises(LookupError):
        with store.stream("lab.ticks", batch_rows=100) as batches:
            for _ in batches:
                raise LookupError
    assert store.pool.statistics().checked_out == 0
    clean(store)


def test_a_server_process_that_dies_in_the_middle(store: Timescale, psql: Psql) -> None:
    fill(psql, ROWS, 50_000)
    with pytest.raises(UnavailableError) as caught:
        with store.stream("lab.ticks", batch_rows=10) as batches:
            for _ in batches:
                psql.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE 'COPY%'"
                )
    assert caught.value.target == "lab.ticks"
    clean(store)


def test_a_read_that_takes_too_long(store: Timescale, psql: Psql) -> None:
    with psql.transaction():
        psql.execute("LOCK TABLE lab.ticks")
        with pytest.raises(StatementTimeoutError, match=r"lab\.ticks"):
            store.raw("lab.ticks", timeout=0.2)
        with pytest.raises(StatementTimeoutError, match=r"lab\.ticks"):
            for _ in store.stream("lab.ticks", timeout=0.2):
                pass
    clean(store)


def test_a_role_without_rights_is_told(store: Timescale, psql: Psql) -> None:
    with store.pool.begin() as connection:
        connection.execute(sa.text("CREATE ROLE nobody_here"))
        connection.execute(sa.text("SET LOCAL ROLE nobody_here"))
        with pytest.raises(PermissionDeniedError, match=r"lab\.ticks"):
            statement = "COPY (SELECT * FROM lab.ticks) TO STDOUT (FORMAT binary)"
            with store.pool.copy(connection, statement, operation="read", target="lab.ticks"):
                pass
        connection.rollback()
    psql.execute("DROP TABLE lab.candles")
    with pytest.raises(NotMigratedError, match=r"lab\.candles"):
        store.raw("lab.candles")


@pytest.mark.one_backend
def test_the_newest_of_every_key(store: Timescale, psql: Psql) -> None:
    store.append("lab.ticks", [{"time": START - timedelta(days=3), "symbol": "AAA", "price": 1, "volume": 1}])
    expected = psql.execute("SELECT DISTINCT ON (symbol) symbol, time FROM lab.ticks ORDER BY symbol, time DESC")
    found = store.latest("lab.ticks")
    assert [(row["symbol"], row["time"]) for row in found.to_pylist()] == expected.fetchall()
    rows = [
        {"at": START + timedelta(days=400 * day), "station": UUID(int=station), "kind": kind, "value": day}
        for day in range(2)
        for station in (1, 2)
        for kind in (1, 2, 3)
    ]
    store.append("lab.Readings", rows)
    found = store.latest("lab.Readings")
    assert [(row["station"], row["kind"], row["value"]) for row in found.to_pylist()] == [
        (str(UUID(int=station)), kind, 1) for station in (1, 2) for kind in (1, 2, 3)
    ]
    psql.execute("DELETE FROM lab.ticks")
    assert (store.latest("lab.ticks")).num_rows == 0
    # no index, no natural key
    store.append("lab.late", [{"time": START, "sensor": "x", "value": 1, "weight": 1}])
    assert (store.latest("lab.late", exact=True)).column("value").to_pylist() == [Decimal("1.000")]


@pytest.mark.one_backend
def test_reads_are_counted_without_their_values(store: Timescale) -> None:
    store.raw("lab.ticks", where={"symbol": ["AAPL"]}, end=datetime(2014, 5, 2, tzinfo=UTC))
    store.raw("lab.ticks", where={"symbol": ["GOOGL"]}, end=datetime(2014, 5, 3, tzinfo=UTC))
    counted = [one for one in store.pool.statistics().statements if one.statement.startswith("COPY (SELECT")]
    assert [(one.calls, one.rows) for one in counted] == [(2, ROWS // 2)]
    assert "AAPL" not in counted[0].statement


def test_a_range_without_a_moment_is_an_error_of_every_read(store: Timescale) -> None:
    for end in (START, START - timedelta(days=1)):
        asked: dict[str, Any] = {"start": START, "end": end}
        with pytest.raises(InputError, match="before it begins"):
            store.raw("lab.ticks", **asked)
        with pytest.raises(InputError, match="before it begins"):
            store.raw("lab.ticks_5min", **asked)
        with pytest.raises(InputError, match="before it begins"):
            store.stream("lab.ticks", **asked)
        with pytest.raises(InputError, match="before it begins"):
            store.bars("lab.ticks", every=hours(1), **asked)
        with pytest.raises(InputError, match="before it begins"):
            store.flagged("lab.ticks", **asked)
        with pytest.raises(InputError, match="before it begins"):
            store.stretches("lab.ticks", **asked)


def test_answers_know_what_tells_their_lines_apart(store: Timescale) -> None:
    asked = [
        (store.bars("lab.ticks", every=hours(1), zone="Asia/Tokyo"), ("symbol",)),
        (store.raw("lab.Readings"), ("station", "kind")),
        (store.raw("lab.late", columns=["time", "value"]), ("sensor",)),
        (store.raw("lab.ticks_5min"), ("symbol",)),
        (store.latest("lab.Readings"), ("station", "kind")),
        (store.as_of("lab.ticks", "lab.ticks"), ("symbol",)),
    ]
    assert [keys_told(table) for table, _ in asked] == [by for _, by in asked]


def test_a_stream_is_read_chunk_by_chunk_in_one_snapshot(
    store: Timescale, psql: Psql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server sorts no more than a chunk before the first row."""
    monkeypatch.setattr(tiers, "SMALL", 0)
    start = moment("2014-06-01 00:00")
    rows = [
        {"time": start + timedelta(hours=7 * step), "symbol": symbol, "price": 1, "volume": step}
        for step in range(40)
        for symbol in ("b", "A", "é")
    ]
    store.append("lab.ticks", rows)
    wanted = store.raw("lab.ticks", start=start, exact=True)
    days = [row["time"].date() for row in wanted.to_pylist()]
    batches = []
    with store.stream("lab.ticks", start=start, exact=True) as stream:
        for batch in stream:
            batches.append(batch)
            psql.execute(
                "INSERT INTO lab.ticks (time, symbol, price, volume) VALUES ('2014-06-12 08:59Z', %s, 1, 1)",
                (f"new{len(batches)}",),
            )
    assert [batch.num_rows for batch in batches] == [days.count(day) for day in dict.fromkeys(days)]
    assert pa.Table.from_batches(batches).equals(wanted)
    some = taken(store.stream("lab.ticks", start=start, where={"symbol": ["A"]}, end=start + timedelta(days=3)))
    assert [batch.num_rows for batch in some] == [4, 3, 4]


@pytest.mark.partitions
def test_a_database_that_writes_dates_in_a_way_of_its_own(
    store: Timescale, psql: Psql, series_url: str, engine: Engine
) -> None:
    chunks, watermark = store.chunks("lab.ticks"), store.watermark("lab.ticks")
    name = f'"{psql.info.dbname}"'.encode()
    psql.execute(b"ALTER DATABASE " + name + b" SET datestyle = 'German'")
    try:
        with opened(series_url, engine) as other:
            assert other.chunks("lab.ticks") == chunks
            assert other.watermark("lab.ticks") == watermark
    finally:
        psql.execute(b"ALTER DATABASE " + name + b" RESET datestyle")
