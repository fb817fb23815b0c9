"""The newest row of each key: looked for in the newest chunks first, and never missed where it is in an older one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores_async import opened

pytestmark = pytest.mark.one_backend

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
DAY = timedelta(days=1)


@pytest.fixture
async def store(series_url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    """A and B have rows on six days, OLD on the first alone."""
    async with opened(series_url, engine) as store:
        await store.append("lab.ticks", [row(day, symbol) for day in range(6) for symbol in ("A", "B")])
        await store.append("lab.ticks", [row(0, "OLD")])
        yield store


def row(day: int, symbol: str, price: object = None) -> dict[str, object]:
    return {"time": START + day * DAY, "symbol": symbol, "price": price or 1 + day, "volume": 1}


async def newest(store: AsyncTimescale, *symbols: str) -> dict[str, int]:
    """The day of the newest row of each."""
    rows = (await store.latest("lab.ticks", symbols)).to_pylist()
    assert [row["symbol"] for row in rows] == sorted(row["symbol"] for row in rows)
    return {row["symbol"]: (row["time"] - START).days for row in rows}


def asked(store: AsyncTimescale) -> list[str]:
    """The statements so far that looked for newest rows."""
    return sorted(
        one.statement
        for one in store.pool.statistics().statements
        for _ in range(one.calls)
        if "AS wanted" in one.statement
    )


async def test_where_the_last_ones_were_is_looked_first(store: AsyncTimescale) -> None:
    for count in (1, 2, 3):
        assert await newest(store, "B", "A") == {"A": 5, "B": 5}
        assert len(asked(store)) == count, "one statement"
    assert sum("time >=" in one for one in asked(store)) == 2, "all but the first leave out older chunks"


async def test_a_key_whose_last_row_is_in_the_oldest_chunk_is_found(store: AsyncTimescale) -> None:
    await newest(store, "A", "B")
    assert await newest(store, "OLD", "A") == {"A": 5, "OLD": 0}
    assert len(asked(store)) == 3
    assert await newest(store, "OLD", "A", "B") == {"A": 5, "B": 5, "OLD": 0}
    assert len(asked(store)) == 4, "from now on it is known that one is old"
    assert await newest(store, "none", "A") == {"A": 5}
    assert await newest(store, "none") == {}
    assert await newest(store) == {}
    assert await newest(store, "B", "B") == {"B": 5}


async def test_rows_that_come_and_go_meanwhile_are_seen(store: AsyncTimescale, psql: Psql) -> None:
    await newest(store, "A", "B")
    await store.append("lab.ticks", [row(9, "B")])
    assert await newest(store, "A", "B") == {"A": 5, "B": 9}
    psql.execute("DELETE FROM lab.ticks WHERE symbol = 'A' AND time > '2014-05-03Z'")
    assert await newest(store, "A", "B") == {"A": 2, "B": 9}
    exact = (await store.latest("lab.ticks", ["A", "B"], exact=True)).to_pylist()
    assert [row["price"] for row in exact] == [Decimal(3), Decimal(10)]
    psql.execute("DELETE FROM lab.ticks")
    assert await newest(store, "A", "B") == {}


@pytest.mark.timescale
async def test_compressed_chunks_are_looked_at_too(store: AsyncTimescale) -> None:
    await newest(store, "A", "B")
    await store.compress("lab.ticks", as_of=START + 100 * DAY)
    for _ in range(2):
        assert await newest(store, "A", "B") == {"A": 5, "B": 5}
        assert await newest(store, "A", "OLD") == {"A": 5, "OLD": 0}


async def test_any_history(store: AsyncTimescale, psql: Psql) -> None:
    """Against the server's own word, whatever was asked for before."""
    chance = random.Random(20140501)
    symbols = ["A", "B", "OLD", "D", "E", "none"]
    for step in range(25):
        match chance.randrange(4):
            case 0:
                await store.append(
                    "lab.ticks", [row(chance.randrange(9), chance.choice(symbols[:-1]))], on_conflict="skip"
                )
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
                assert await newest(store, *wanted) == expected, step
