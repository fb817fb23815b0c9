# Generated from test_latest_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The newest row of each key: looked for in the newest chunks first, and never missed where it is in an older one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores import opened

pytestmark = pytest.mark.one_backend

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
DAY = timedelta(days=1)


@pytest.fixture
def store(series_url: str, engine: Engine) -> Iterator[Timescale]:
    """A and B have rows on six days, OLD on the first alone."""
    with opened(series_url, engine) as store:
        store.append("lab.ticks", [row(day, symbol) for day in range(6) for symbol in ("A", "B")])
        store.append("lab.ticks", [row(0, "OLD")])
        yield store


def row(day: int, symbol: str, price: object = None) -> dict[str, object]:
    return {"time": START + day * DAY, "symbol": symbol, "price": price or 1 + day, "volume": 1}


def newest(store: Timescale, *symbols: str) -> dict[str, int]:
    """The day of the newest row of each."""
    rows = (store.latest("lab.ticks", symbols)).to_pylist()
    assert [row["symbol"] for row in rows] == sorted(row["symbol"] for row in rows)
    return {row["symbol"]: (row["time"] - START).days for row in rows}


def asked(store: Timescale) -> list[str]:
    """The statements so far that looked for newest rows."""
    return sorted(
        one.statement
        for one in store.pool.statistics().statements
        for _ in range(one.calls)
        if "AS wanted" in one.statement
    )


def test_where_the_last_ones_were_is_looked_first(store: Timescale) -> None:
    for count in (1, 2, 3):
        assert newest(store, "B", "A") == {"A": 5, "B": 5}
        assert len(asked(store)) == count, "one statement"
    assert sum("time >=" in one for one in asked(store)) == 2, "all but the first leave out older chunks"


def test_a_key_whose_last_row_is_in_the_oldest_chunk_is_found(store: Timescale) -> None:
    newest(store, "A", "B")
    assert newest(store, "OLD", "A") == {"A": 5, "OLD": 0}
    assert len(asked(store)) == 3
    assert newest(store, "OLD", "A", "B") == {"A": 5, "B": 5, "OLD": 0}
    assert len(asked(store)) == 4, "from now on it is known that one is old"
    assert newest(store, "none", "A") == {"A": 5}
    assert newest(store, "none") == {}
    assert newest(store) == {}
    assert newest(store, "B", "B") == {"B": 5}


def test_rows_that_come_and_go_meanwhile_are_seen(store: Timescale, psql: Psql) -> None:
    newest(store, "A", "B")
    store.append("lab.ticks", [row(9, "B")])
    assert newest(store, "A", "B") == {"A": 5, "B": 9}
    psql.execute("DELETE FROM lab.ticks WHERE symbol = 'A' AND time > '2014-05-03Z'")
    assert newest(store, "A", "B") == {"A": 2, "B": 9}
    exact = (store.latest("lab.ticks", ["A", "B"], exact=True)).to_pylist()
    assert [row["price"] for row in exact] == [Decimal(3), Decimal(10)]
    psql.execute("DELETE FROM lab.ticks")
    assert newest(store, "A", "B") == {}


@pytest.mark.timescale
def test_compressed_chunks_are_looked_at_too(store: Timescale) -> None:
    newest(store, "A", "B")
    store.compress("lab.ticks", as_of=START + 100 * DAY)
    for _ in range(2):
        assert newest(store, "A", "B") == {"A": 5, "B": 5}
        assert newest(store, "A", "OLD") == {"A": 5, "OLD": 0}


def test_any_history(store: Timescale, psql: Psql) -> None:
    """Against the server's own word, whatever was asked for before."""
    chance = random.Random(20140501)
    symbols = ["A", "B", "OLD", "D", "E", "none"]
    for step in range(25):
        match chance.randrange(4):
            case 0:
                store.append("lab.ticks", [row(chance.randrange(9), chance.choice(symbols[:-1]))], on_conflict="skip")
            case 1:
                psql.execute(
                    "DELETE FROM lab.ticks WHERE symbol = %s AND time >= %s",
                    (chance.choice(symbols), START + chance.randrange(9) * DAY),
                )
            case _:
                wanted = chance.sample(symbols, chance.randrange(1, 6))
                found = psql.execute(
                    "SELECT symbol, max(time) FROM lab.ticks WHERE symbol = ANY(%s) GROUP BY symbol", (wanted,)
                ).fetchall()
                expected = {symbol: (time - START).days for symbol, time in found}  # type: ignore[operator]  # a time
                assert newest(store, *wanted) == expected, step
