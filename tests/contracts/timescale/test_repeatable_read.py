"""A server whose transactions are of repeatable read by default: who waited for a lock sees what came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from cold_series import AS_OF, KEPT_CATALOG, START, key, tick, ticks, tier
from storekeeper.ledger.locks import Lock, archive_lock, chunks_lock, refresh_lock
from storekeeper.span import hours
from storekeeper.stores.cold.layout import day_folder, file_name, manifest_path
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from timescale_stores_async import opened

Psql = psycopg.Connection[tuple[object, ...]]

DATASET = "lab.ticks"
TAKE = "SELECT pg_advisory_xact_lock(%s, %s)"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def url(series_url: str) -> str:
    return f"{series_url}{'&' if '?' in series_url else '?'}options=" + quote(
        "-c default_transaction_isolation=repeatable\\ read"
    )


@pytest.fixture
async def rolled_up(url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(url, engine) as store:
        yield store


@pytest.fixture
async def keeping(url: str, engine: Engine, tmp_path: Path, psql: Psql) -> AsyncIterator[AsyncTimescale]:
    psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep', rolled_up = false WHERE dataset = 'lab.ticks'")
    async with opened(url, engine, KEPT_CATALOG, archive=tier(tmp_path)) as store:
        yield store


@asynccontextmanager
async def held(psql: Psql, lock: Lock) -> AsyncIterator[None]:
    """What waits for the lock meanwhile goes on after the block, whose changes are committed then."""
    with psql.transaction():
        psql.execute(TAKE, (lock.namespace, lock.key))
        yield


async def waiting(psql: Psql, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while psql.execute(WAITING).fetchone() != (count,):
            await asyncio.sleep(0.01)


async def test_it_is_so(rolled_up: AsyncTimescale) -> None:
    async with rolled_up.pool.begin() as connection:
        found = await connection.exec_driver_sql("SHOW transaction_isolation")
        assert found.scalar_one() == "repeatable read"


async def test_a_row_that_came_before_the_chunk_was_dropped_is_archived(keeping: AsyncTimescale, psql: Psql) -> None:
    rows = ticks(5)
    await keeping.append(DATASET, rows)
    (chunk, *_) = await keeping.chunks(DATASET)
    table = f'{chunk.schema or "lab"}."{chunk.name}"'
    async with held(psql, chunks_lock(DATASET)):
        dropping = asyncio.create_task(keeping.drop_chunks(DATASET, as_of=START + timedelta(days=31)))
        await waiting(psql)
        psql.execute(f"INSERT INTO {table} (time, symbol, price, volume) VALUES ('{START}', 'late', 7, 1)".encode())
    await dropping
    assert len(await keeping.chunks(DATASET)) == 4
    found = {key(row): row["price"] for row in (await keeping.raw(DATASET, exact=True)).to_pylist()}
    assert found == {key(row): row["price"] for row in [*rows, tick(START, "late", 7)]}


async def test_a_row_that_came_before_the_watermark_rose_is_in_the_rollups(
    rolled_up: AsyncTimescale, psql: Psql
) -> None:
    await rolled_up.append(DATASET, ticks(2))
    with psql.transaction():
        psql.execute("INSERT INTO lab.ticks VALUES (%s, 'late', 7, 1)", (START,))
        dropping = asyncio.create_task(rolled_up.drop_chunks(DATASET, as_of=START + timedelta(days=31)))
        await waiting(psql)
    await dropping
    assert len(await rolled_up.chunks(DATASET)) == 1
    bars = await rolled_up.bars(DATASET, ["late"], every=hours(1), start=START, end=START + timedelta(days=1))
    assert bars.column("close").to_pylist() == [7]


async def test_two_make_one_chunk(rolled_up: AsyncTimescale, url: str, engine: Engine, psql: Psql) -> None:
    async with opened(url, engine) as other:
        async with held(psql, chunks_lock(DATASET)):
            appends = [
                asyncio.create_task(store.append(DATASET, [tick(START, symbol, 1)]))
                for store, symbol in ((rolled_up, "A"), (other, "B"))
            ]
            await waiting(psql, 2)
        await asyncio.gather(*appends)
    assert (await rolled_up.raw(DATASET)).num_rows == 2


async def test_files_that_another_has_just_kept_stay(keeping: AsyncTimescale, psql: Psql, tmp_path: Path) -> None:
    await keeping.append(DATASET, ticks(5))
    (chunk, *_) = await keeping.chunks(DATASET)
    psql.execute(
        "INSERT INTO storekeeper.archived_parts (id, dataset, chunk, lower, upper, location) "
        "VALUES ('p1', %s, 'gone', %s, %s, '')",
        (DATASET, chunk.range.lower, chunk.range.upper),
    )
    file = tmp_path / "archive" / day_folder(DATASET, chunk.range.lower) / file_name("p1", 0)
    for one in (file, tmp_path / "archive" / manifest_path(DATASET, "p1")):
        one.parent.mkdir(parents=True)
        one.touch()
    async with held(psql, archive_lock(DATASET)):
        dropping = asyncio.create_task(keeping.drop_chunks(DATASET, as_of=AS_OF))
        await waiting(psql)
        psql.execute(
            "UPDATE storekeeper.archived_parts SET state = 'kept', archived_at = now(), dropped_at = now() "
            "WHERE id = 'p1'"
        )
    await dropping
    assert file.exists()


@pytest.mark.partitions
async def test_a_refresh_keeps_what_was_dropped_while_it_waited(rolled_up: AsyncTimescale, psql: Psql) -> None:
    await rolled_up.append(DATASET, ticks(2))
    await rolled_up.refresh(DATASET, as_of=AS_OF)
    await rolled_up.append(DATASET, [tick(START, "late", 7)])
    (chunk, *_) = await rolled_up.chunks(DATASET)
    async with held(psql, refresh_lock("lab.ticks_5min")):
        refreshing = asyncio.create_task(rolled_up.refresh(DATASET, as_of=AS_OF))
        await waiting(psql)
        psql.execute(f'DROP TABLE lab."{chunk.name}"'.encode())
        psql.execute(
            "UPDATE storekeeper.watermarks SET dropped_before = %s WHERE dataset = %s", (chunk.range.upper, DATASET)
        )
    await refreshing
    bars = await rolled_up.bars(DATASET, ["A"], every=hours(1), start=START, end=START + timedelta(days=1))
    assert bars.num_rows == 16


async def test_writers_of_one_key_wait_for_each_other(rolled_up: AsyncTimescale, psql: Psql) -> None:
    async def upsert() -> int:
        async with rolled_up.appending(DATASET, on_conflict="update") as rows:
            return (await rows.write([tick(START, "A", 2)])).updated

    await rolled_up.append(DATASET, [tick(START, "A", 1)])
    with psql.transaction():
        psql.execute("UPDATE lab.ticks SET price = 3")
        upserting = asyncio.create_task(upsert())
        await waiting(psql)
    assert await upserting == 1
    assert psql.execute("SELECT price FROM lab.ticks").fetchall() == [(2,)]
