# Generated from test_capture_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Capture of changes: whoever writes, the rollups follow; what is below the watermark is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg
import pytest

from storekeeper.catalog import Range
from storekeeper.ledger.locks import series_lock
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import levels
from timescale_series import moment
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

DAY = moment("2014-05-07 00:00")
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def store(series_url: str, engine: Engine) -> Iterator[Timescale]:
    with opened(series_url, engine) as store:
        rows = [
            {"time": DAY + timedelta(days=day, hours=hour), "symbol": "AAPL", "price": 1 + hour, "volume": 1}
            for day in range(3)
            for hour in range(24)
        ]
        store.append("lab.ticks", rows)
        store.refresh("lab.ticks", as_of=moment("2015-01-01 00:00"))
        yield store


def hours(store: Timescale) -> dict[datetime, tuple[float, float]]:
    """Close and volume of the coarsest rollup, by its bucket."""
    table = store.raw("lab.ticks_1h")
    return {row["bucket"]: (row["close"], row["volume"]) for row in table.to_pylist()}


CHANGES = pytest.mark.parametrize(
    ("change", "lower", "upper"),
    [
        ("INSERT INTO {} (time, symbol, price, volume) VALUES ('2014-05-08 03:30Z', 'MSFT', 9, 9)", "03:30", "03:30"),
        (
            "UPDATE {} SET price = 99 WHERE time >= '2014-05-08 04:00Z' AND time <= '2014-05-08 06:00Z'",
            "04:00",
            "06:00",
        ),
        ("UPDATE {} SET time = time + interval '20 min' WHERE time = '2014-05-08 07:00Z'", "07:00", "07:20"),
        ("DELETE FROM {} WHERE time = '2014-05-08 08:00Z'", "08:00", "08:00"),
    ],
)


@CHANGES
@pytest.mark.one_backend
def test_what_psql_changes_is_noted_and_refreshed(
    store: Timescale, psql: Psql, change: str, lower: str, upper: str
) -> None:
    check_change(store, psql, change.format("lab.ticks"), lower, upper)


@pytest.mark.partitions
@CHANGES
def test_so_is_what_psql_changes_in_a_chunk_by_its_name(
    store: Timescale, psql: Psql, change: str, lower: str, upper: str
) -> None:
    check_change(store, psql, change.format("lab.ticks_p20140508"), lower, upper)


def check_change(store: Timescale, psql: Psql, change: str, lower: str, upper: str) -> None:
    assert store.pending("lab.ticks") == []
    psql.execute(change.encode())
    noted = Range(moment(f"2014-05-08 {lower}"), moment(f"2014-05-08 {upper}") + INSTANT)
    assert store.pending("lab.ticks") == [noted]
    done = store.refresh("lab.ticks", as_of=moment("2015-01-01 00:00"))
    assert {window.dataset for window in done} == {"lab.ticks_5min", "lab.ticks_1h"}
    assert store.pending("lab.ticks") == []
    assert store.pending("lab.ticks_5min") == []
    expected = psql.execute(
        "SELECT date_trunc('hour', time, 'UTC'), (array_agg(price ORDER BY time DESC))[1]::float8, "
        "sum(volume)::float8 FROM lab.ticks WHERE symbol = 'AAPL' GROUP BY 1"
    ).fetchall()
    rows = (store.raw("lab.ticks_1h", where={"symbol": ["AAPL"]})).to_pylist()
    assert {row["bucket"]: (row["close"], row["volume"]) for row in rows} == {a: (b, c) for a, b, c in expected}


@pytest.mark.partitions
def test_a_row_that_moves_to_another_chunk(store: Timescale, psql: Psql) -> None:
    psql.execute("UPDATE lab.ticks SET time = time + interval '1 day 30 min' WHERE time = '2014-05-07 05:00Z'")
    assert [(piece.lower, piece.upper - INSTANT) for piece in store.pending("lab.ticks")] == [
        (moment("2014-05-07 05:00"),) * 2,
        (moment("2014-05-08 05:30"),) * 2,
    ]
    store.refresh("lab.ticks", as_of=moment("2015-01-01 00:00"))
    found = hours(store)
    assert moment("2014-05-07 05:00") not in found
    assert found[moment("2014-05-08 05:00")] == (6, 2)


@pytest.mark.timescale
def test_a_row_cannot_move_to_another_chunk_there(store: Timescale, psql: Psql) -> None:
    before = hours(store)
    with pytest.raises(psycopg.errors.CheckViolation):
        psql.execute("UPDATE lab.ticks SET time = time + interval '1 day 30 min' WHERE time = '2014-05-07 05:00Z'")
    assert store.pending("lab.ticks") == []
    assert hours(store) == before


@pytest.mark.one_backend
def test_truncate_empties_the_rollups(store: Timescale, psql: Psql) -> None:
    psql.execute("TRUNCATE lab.ticks")
    store.refresh("lab.ticks", as_of=moment("2015-01-01 00:00"))
    assert hours(store) == {}


@pytest.mark.partitions
def test_truncating_a_chunk_empties_its_part(store: Timescale, psql: Psql) -> None:
    psql.execute("TRUNCATE lab.ticks_p20140508")
    store.refresh("lab.ticks", as_of=moment("2015-01-01 00:00"))
    assert {bucket.day for bucket in hours(store)} == {7, 9}


def test_a_transaction_that_rolls_back_notes_nothing(store: Timescale, psql: Psql) -> None:
    with psql.transaction(force_rollback=True):
        psql.execute("DELETE FROM lab.ticks")
    assert store.pending("lab.ticks") == []


@pytest.mark.one_backend
def test_a_window_open_at_as_of_waits(store: Timescale) -> None:
    row = {"time": moment("2014-05-09 23:59"), "symbol": "AAPL", "price": 77, "volume": 5}
    store.append("lab.ticks", [row])
    store.refresh("lab.ticks", as_of=moment("2014-05-09 23:59"))
    assert (hours(store))[moment("2014-05-09 23:00")] == (24, 1)
    assert len(store.pending("lab.ticks")) == 1
    store.refresh("lab.ticks", as_of=moment("2014-05-10 00:00"))
    assert (hours(store))[moment("2014-05-09 23:00")] == (77, 6)


@pytest.mark.partitions
def test_what_a_refresh_leaves_out_stays_noted(store: Timescale, psql: Psql, engine: Engine) -> None:
    psql.execute("UPDATE lab.ticks SET price = 50 WHERE time >= '2014-05-08Z' AND time < '2014-05-09Z'")
    fine = levels(store.catalog.hypertable("lab.ticks"))[1]
    window = Range(moment("2014-05-08 10:00"), moment("2014-05-08 12:00"))
    with store.pool.begin() as connection:
        for statement in engine.refresh(fine, window):
            connection.execute(statement.clause())
    assert store.pending("lab.ticks") == [
        Range(moment("2014-05-08 00:00"), window.lower),
        Range(window.upper, moment("2014-05-08 23:00") + INSTANT),
    ]
    rows = (store.raw("lab.ticks_5min", where={"close": [50]})).to_pylist()
    assert [row["bucket"].hour for row in rows] == [10, 11]


BELOW = pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO {} (time, symbol, price, volume) VALUES ('2014-06-08 03:30Z', 'MSFT', 9, 9)",
        "UPDATE {} SET price = 99 WHERE time = '2014-06-08 03:00Z'",
        "DELETE FROM {} WHERE time = '2014-06-08 03:00Z'",
    ],
)


@BELOW
@pytest.mark.one_backend
def test_below_the_watermark_psql_is_refused_too(store: Timescale, psql: Psql, change: str) -> None:
    check_refusal(store, psql, change.format("lab.ticks"))


@pytest.mark.partitions
@BELOW
def test_below_the_watermark_chunks_are_closed_too(store: Timescale, psql: Psql, change: str) -> None:
    check_refusal(store, psql, change.format("lab.ticks_p20140608"))


def check_refusal(store: Timescale, psql: Psql, change: str) -> None:
    row = {"time": moment("2014-06-08 03:00"), "symbol": "AAPL", "price": 1, "volume": 1}
    store.append("lab.ticks", [row])
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-06-08 04:00Z' WHERE dataset = 'lab.ticks'")
    pending = store.pending("lab.ticks")
    with pytest.raises(psycopg.errors.Error) as caught:
        psql.execute(change.encode())
    assert caught.value.sqlstate == "SK001"
    assert "2014-06-08 04:00:00" in str(caught.value)
    assert store.pending("lab.ticks") == pending
    assert (store.raw("lab.ticks", start=moment("2014-06-08 00:00"))).num_rows == 1


def test_a_snapshot_older_than_the_watermark_is_no_way_past_it(store: Timescale, psql: Psql, series_url: str) -> None:
    with psycopg.connect(series_url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT count(*) FROM lab.ticks")
        psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-08Z' WHERE dataset = 'lab.ticks'")
        with pytest.raises(psycopg.errors.SerializationFailure):
            other.execute("DELETE FROM lab.ticks WHERE time = '2014-05-07 03:00Z'")


def test_writers_and_the_ledger_mean_the_same_lock(store: Timescale, psql: Psql) -> None:
    lock = series_lock("lab.ticks")
    with psql.transaction():
        psql.execute("DELETE FROM lab.ticks WHERE time = '2014-05-07 03:00Z'")
        held = psql.execute(
            "SELECT classid, objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        ).fetchall()
    assert held == [(lock.namespace, lock.key % 2**32, "ShareLock")]


@pytest.mark.one_backend
def test_a_rollup_made_later_takes_up_what_is_there(store: Timescale, psql: Psql, engine: Engine) -> None:
    before = hours(store)
    ticks = store.catalog.hypertable("lab.ticks")
    with store.pool.begin() as connection:
        for statement in engine.drop_rollup(ticks, ticks.rollups[1]):
            connection.execute(statement.clause())
    psql.execute("UPDATE lab.ticks SET volume = 2")
    with store.pool.begin() as connection:
        for statement in engine.create_rollup(ticks, ticks.rollups[1]):
            connection.execute(statement.clause())
    store.refresh("lab.ticks", as_of=moment("2015-01-01 00:00"))
    assert hours(store) == {bucket: (close, 2) for bucket, (close, _) in before.items()}
