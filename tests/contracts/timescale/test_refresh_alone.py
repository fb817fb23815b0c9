"""A refresh with transactions of its own: cut off it is done again, and what changes meanwhile stays noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from storekeeper.catalog import Range
from storekeeper.errors import UnavailableError
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.hypertables import HypertablesEngine
from timescale_series import in_database, moment, stored_in
from timescale_stores_async import opened

pytestmark = pytest.mark.timescale

Psql = psycopg.Connection[tuple[object, ...]]

DAY = moment("2014-05-07 00:00")
TOLD = moment("2015-01-01 00:00")
INSTANT = timedelta(microseconds=1)

_WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'CALL%'
"""


def row(hours: float, price: int = 1) -> dict[str, object]:
    return {"time": DAY + timedelta(hours=hours), "symbol": "AAPL", "price": price, "volume": 1}


@pytest.fixture
async def store(series_url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine) as store:
        await store.append("lab.ticks", [row(hour) for hour in range(24)])
        await store.refresh("lab.ticks", as_of=TOLD)
        yield store


@contextmanager
def held(psql: Psql, rollup: str) -> Iterator[None]:
    """What a rollup is kept in, locked: a refresh of it has begun, and does not get on."""
    with psql.transaction():
        psql.execute(f"LOCK TABLE ONLY {stored_in(psql, rollup)} IN ACCESS EXCLUSIVE MODE".encode())
        yield


async def waiting(series_url: str) -> int:
    """The process id of the refresh that waits, once it does."""
    async with await psycopg.AsyncConnection.connect(series_url, autocommit=True) as connection:
        while (found := await (await connection.execute(_WAITING)).fetchone()) is None:
            await asyncio.sleep(0.02)
    return int(found[0])


@pytest.mark.parametrize("rollup", ["lab.ticks_5min", "lab.ticks_1h"])
async def test_cut_off_it_is_done_again(store: AsyncTimescale, psql: Psql, series_url: str, rollup: str) -> None:
    await store.append("lab.ticks", [row(3.5, price=90)])
    with held(psql, rollup):
        refresh = asyncio.create_task(store.refresh("lab.ticks", as_of=TOLD))
        victim = await waiting(series_url)
        async with await psycopg.AsyncConnection.connect(in_database(series_url, "postgres")) as killer:
            await killer.execute("SELECT pg_terminate_backend(%s)", [victim])
        with pytest.raises(UnavailableError):
            await refresh
    noted = await store.pending("lab.ticks"), await store.pending("lab.ticks_5min")
    assert noted[rollup == "lab.ticks_1h"], "what was not refreshed is not forgotten"
    await store.refresh("lab.ticks", as_of=TOLD)
    found = await store.raw("lab.ticks_1h", start=DAY + timedelta(hours=3), limit=1)
    assert found.to_pylist()[0]["high"] == 90
    assert await store.pending("lab.ticks") == await store.pending("lab.ticks_5min") == []


async def test_what_comes_meanwhile_stays_noted(store: AsyncTimescale, psql: Psql, series_url: str) -> None:
    await store.append("lab.ticks", [row(3.5, price=90)])
    with held(psql, "lab.ticks_5min"):
        refresh = asyncio.create_task(store.refresh("lab.ticks", as_of=TOLD))
        await waiting(series_url)
        late = row(3.51, price=95)
        await store.append("lab.ticks", [late])
    await refresh
    assert Range(DAY + timedelta(hours=3.51), DAY + timedelta(hours=3.51) + INSTANT) in await store.pending("lab.ticks")
    await store.refresh("lab.ticks", as_of=TOLD)
    found = await store.raw("lab.ticks_1h", start=DAY + timedelta(hours=3), limit=1)
    assert found.to_pylist()[0]["high"] == 95


async def test_its_locks_end_with_it(store: AsyncTimescale, psql: Psql) -> None:
    await store.append("lab.ticks", [row(3.5, price=90)])
    await store.refresh("lab.ticks", as_of=TOLD)
    left = psql.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert left.fetchone() == (0,)


async def test_nothing_below_a_watermark_is_made_anew(store: AsyncTimescale, psql: Psql, engine: Engine) -> None:
    """Neither where the rows are gone nor where the rollup's own are, whatever is noted."""
    assert isinstance(engine, HypertablesEngine)
    before = (await store.raw("lab.ticks_1h", exact=True)).to_pylist()
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-07 10:00Z' WHERE dataset = 'lab.ticks'")
    # as if they had gone: nobody is told
    psql.execute("SELECT set_config('session_replication_role', 'replica', false)")
    psql.execute("DELETE FROM lab.ticks WHERE time < '2014-05-07 12:00Z'")
    psql.execute("RESET session_replication_role")
    psql.execute(
        "INSERT INTO storekeeper.invalidations (dataset, lower, upper) "
        "VALUES ('lab.ticks', '2014-05-07Z', '2014-05-08Z')"
    )
    await store.refresh("lab.ticks", as_of=TOLD)
    after = (await store.raw("lab.ticks_1h", exact=True)).to_pylist()
    # before 2.18 a refresh cannot be told to make what the server does not know to have changed
    made_anew = range(10, 12) if engine.words.refresh else range(0)
    assert after == [one for one in before if one["bucket"].hour not in made_anew]
    assert await store.pending("lab.ticks") == []
