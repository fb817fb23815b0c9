# Generated from test_columnstore_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The columnstore: old chunks are compressed, and stay what they were to readers, to writers and to the rollups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from storekeeper.errors import UniqueError
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores import chunk_at, opened

pytestmark = [pytest.mark.timescale, pytest.mark.one_backend]

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
AS_OF = moment("2014-05-10 12:00")  # 7 days before: 2014-05-03 12:00
TOLD = moment("2015-01-01 00:00")
SECOND = moment("2014-05-02 00:00")
ROWS = [
    {"time": START + timedelta(minutes=20 * step), "symbol": symbol, "price": 1 + step % 50, "volume": Decimal("1.25")}
    for step in range(72 * 4)
    for symbol in ("AAPL", "MSFT")
]


@pytest.fixture
def store(series_url: str, engine: Engine) -> Iterator[Timescale]:
    """Four days in four chunks; the first two are compressed, and the rollups hold all of them."""
    with opened(series_url, engine) as store:
        store.append("lab.ticks", ROWS)
        store.refresh("lab.ticks", as_of=TOLD)
        store.compress("lab.ticks", as_of=AS_OF)
        yield store


def compressed(store: Timescale) -> list[bool]:
    return [chunk.compressed for chunk in store.chunks("lab.ticks")]


def highest(store: Timescale, dataset: str, hour: int) -> object:
    """Of AAPL, on the second day, in that hour's first bucket."""
    begin = SECOND + timedelta(hours=hour)
    found = store.raw(dataset, start=begin, end=begin + timedelta(minutes=5), where={"symbol": ["AAPL"]})
    return found.column("high").to_pylist()[0] if found.num_rows else None


def test_what_is_old_enough_is_compressed_once_and_reads_as_before(store: Timescale) -> None:
    assert compressed(store) == [True, True, False, False]
    assert store.compress("lab.ticks", as_of=AS_OF) == []
    found = (store.raw("lab.ticks", columns=["time", "symbol", "price", "volume"], exact=True)).to_pylist()
    assert found == ROWS
    assert (store.latest("lab.ticks", ["AAPL"])).num_rows == 1


def test_a_dry_run_says_what_a_run_does(store: Timescale) -> None:
    later = AS_OF + timedelta(days=1)
    foreseen = store.compress("lab.ticks", as_of=later, dry_run=True)
    assert compressed(store) == [True, True, False, False]
    done = store.compress("lab.ticks", as_of=later)
    assert [chunk.range for chunk in done] == [chunk.range for chunk in foreseen]
    assert [chunk.range.lower for chunk in done] == [START + timedelta(days=2)]
    assert compressed(store) == [True, True, True, False]


def test_late_rows_and_corrections_go_into_what_is_compressed(store: Timescale, psql: Psql) -> None:
    late = {"time": SECOND + timedelta(minutes=1), "symbol": "AAPL", "price": 70, "volume": 2}
    store.append("lab.ticks", [late])
    there = {"time": SECOND + timedelta(hours=4), "symbol": "AAPL", "price": 80, "volume": 1}
    with pytest.raises(UniqueError):
        store.append("lab.ticks", [there])
    assert (store.upsert("lab.ticks", [there])).updated == 1
    assert (store.append("lab.ticks", [{**there, "price": 7}], on_conflict="skip")).inserted == 0
    psql.execute("UPDATE lab.ticks SET price = 90 WHERE time = '2014-05-02 08:00Z' AND symbol = 'AAPL'")
    psql.execute("DELETE FROM lab.ticks WHERE time >= '2014-05-02 12:00Z' AND time < '2014-05-02 13:00Z'")

    changed = [piece.lower for piece in store.pending("lab.ticks")]
    assert changed
    assert all(SECOND <= lower < SECOND + timedelta(days=1) for lower in changed), "and nothing else is made anew"
    store.refresh("lab.ticks", as_of=TOLD)
    for rollup in ("lab.ticks_5min", "lab.ticks_1h"):
        assert [highest(store, rollup, hour) for hour in (0, 4, 8, 12)] == [70, 80, 90, None]
    assert (store.raw("lab.ticks")).num_rows == len(ROWS) + 1 - 6


def test_what_came_late_is_taken_into_the_columnstore(store: Timescale) -> None:
    assert not (chunk_at(store, "lab.ticks", SECOND)).partial
    rows = [
        {"time": SECOND + timedelta(minutes=minute), "symbol": "LATE", "price": 3, "volume": 1} for minute in (1, 2)
    ]
    store.append("lab.ticks", rows)
    assert (chunk_at(store, "lab.ticks", SECOND)).partial
    before = (store.raw("lab.ticks", exact=True)).to_pylist()
    assert [chunk.range.lower for chunk in store.compress("lab.ticks", as_of=AS_OF)] == [SECOND]
    assert not (chunk_at(store, "lab.ticks", SECOND)).partial
    assert compressed(store) == [True, True, False, False]
    assert (store.raw("lab.ticks", exact=True)).to_pylist() == before


def test_retention_takes_what_is_compressed_once_the_rollups_hold_what_came_late(store: Timescale, psql: Psql) -> None:
    late = {"time": SECOND + timedelta(minutes=1), "symbol": "AAPL", "price": 70, "volume": 2}
    store.append("lab.ticks", [late])
    psql.execute("DELETE FROM lab.ticks WHERE time = '2014-05-02 04:00Z'")
    done = store.drop_chunks("lab.ticks", as_of=START + timedelta(days=32))
    assert [chunk.compressed for chunk in done[0].chunks] == [True, True]
    assert compressed(store) == [False, False]
    held = (store.raw("lab.ticks_1h", end=SECOND + timedelta(days=1))).to_pylist()
    assert sum(row["count"] for row in held) == 2 * 144 + 1 - 2
    assert highest(store, "lab.ticks_5min", 0) == 70


def test_a_compressed_chunk_is_smaller(store: Timescale, psql: Psql) -> None:
    psql.execute("ANALYZE lab.ticks")
    chunks = store.chunks("lab.ticks")
    assert chunks[0].bytes < chunks[3].bytes
    size = next(size for size in store.sizes() if size.dataset == "lab.ticks")
    assert size.chunks == 4
    assert size.bytes >= sum(chunk.bytes for chunk in chunks)
