"""Two runs of retention, or of compression, at once: what one has done the other leaves, and no row is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cold_series import CATALOG, COLD_TICKS, KEPT_CATALOG, ROLLED_UP, START, key, tick, ticks, tier
from storekeeper.catalog import Catalog, Domain
from storekeeper.errors import ConflictError, NotVerifiedError, StoreError
from storekeeper.stores.cold.place import Directory
from storekeeper.stores.cold.tier import ColdTier
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale import tiers
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.statement import Statement
from timescale_stores_async import opened

Two = tuple[AsyncTimescale, AsyncTimescale]

ROWS = ticks(6)
EXPECTED = {key(row): row["price"] for row in ROWS}
LEVEL = Level(COLD_TICKS, 0)
ONE_DAY = START + timedelta(days=31)


@pytest.fixture
async def two(series_url: str, engine: Engine, tmp_path: Path) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(opened(series_url, engine, CATALOG, archive=tier(tmp_path)))
            for _ in range(2)
        ]
        await first.append("lab.ticks", ROWS)
        yield first, second


async def seen(store: AsyncTimescale) -> dict[object, object]:
    found = (await store.raw("lab.ticks", exact=True)).to_pylist()
    prices: dict[object, object] = {key(row): row["price"] for row in found}
    assert len(prices) == len(found), "none is seen twice"
    return prices


async def test_a_part_whose_chunk_was_dropped_is_not_replaced(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are all that there is of the rows."""
    first, second = two
    (chunk, *_) = await first.chunks("lab.ticks")
    await first._archiving.begin(LEVEL, None, None)  # the steps of a run that was killed
    await first._archiving.keep(LEVEL, chunk)
    unchanged = second._archiving._unchanged

    async def once_it_is_dropped(*given: Any) -> bool:
        await first.drop_chunks("lab.ticks", as_of=ONE_DAY)
        return await unchanged(*given)

    monkeypatch.setattr(second._archiving, "_unchanged", once_it_is_dropped)
    with pytest.raises(ConflictError, match="another process"):
        await second.drop_chunks("lab.ticks", as_of=ONE_DAY)
    assert await seen(first) == EXPECTED
    monkeypatch.undo()
    assert await second.drop_chunks("lab.ticks", as_of=ONE_DAY) == []
    (part,) = await first.archived_parts("lab.ticks")
    assert (part.rows, part.dropped_at is None) == (48, False)
    await first.verify_archived(part)


async def test_a_chunk_that_is_gone_is_left_to_whoever_took_it(two: Two) -> None:
    first, second = two
    (chunk, other, *_) = await first.chunks("lab.ticks")
    await first.drop_chunks("lab.ticks", as_of=ONE_DAY)
    lifecycle = second._lifecycle
    assert await lifecycle._take(LEVEL, chunk, detached=False) is None
    assert await lifecycle._drop(LEVEL, chunk)
    for _ in range(2):
        await lifecycle._detach(LEVEL, chunk)
    assert len(await second.archived_parts("lab.ticks")) == 1
    assert len(await second.chunks("lab.ticks")) == 5
    with pytest.raises(ConflictError):  # of a chunk that was never archived
        await second._archiving.keep(LEVEL, chunk)
    assert await second._archiving.keep(LEVEL, other) is not None
    assert await seen(first) == EXPECTED


async def test_two_runs_at_once(two: Two) -> None:
    for day in range(1, 5):
        runs = [store.drop_chunks("lab.ticks", as_of=START + timedelta(days=30 + day)) for store in two]
        for error in await asyncio.gather(*runs, return_exceptions=True):
            assert not isinstance(error, BaseException) or isinstance(error, ConflictError)
        assert await seen(two[0]) == EXPECTED
    await two[0].drop_chunks("lab.ticks", as_of=START + timedelta(days=34))
    assert len(await two[1].chunks("lab.ticks")) == 2


@pytest.mark.timescale
async def test_two_compress_at_once(two: Two) -> None:
    as_of = START + timedelta(days=11)
    await asyncio.gather(*(store.compress("lab.ticks", as_of=as_of) for store in two))
    assert sum(chunk.compressed for chunk in await two[0].chunks("lab.ticks")) == 4
    await asyncio.gather(*(store.backfill("lab.ticks", ROWS, on_conflict="update") for store in two))
    assert await seen(two[0]) == EXPECTED


@pytest.mark.timescale
async def test_who_reads_sees_rows_that_are_taken_into_the_columnstore_meanwhile(
    two: Two, psql: psycopg.Connection[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot of before has them beside it, where nobody looks any more."""
    monkeypatch.setattr(tiers, "SMALL", 0)  # a statement a chunk
    as_of = START + timedelta(days=11)
    await two[0].compress("lab.ticks", as_of=as_of)
    psql.execute("UPDATE lab.ticks SET bid = 1 WHERE time >= %s", (START + timedelta(days=1),))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    rows, compressing = 0, None
    async with two[0].stream("lab.ticks") as batches:
        async for batch in batches:
            rows += batch.num_rows
            if compressing is None:
                compressing = asyncio.create_task(two[1].compress("lab.ticks", as_of=as_of))
                async with asyncio.timeout(30):
                    while not compressing.done() and psql.execute(waiting).fetchone() == (0,):
                        await asyncio.sleep(0.01)
    assert rows == len(ROWS)
    assert compressing is not None
    assert len(await compressing) == 3
    assert await seen(two[0]) == EXPECTED


@pytest.mark.timescale
@pytest.mark.parametrize("streamed", [False, True])
async def test_who_waits_for_a_chunk_sees_what_was_taken_into_the_columnstore(
    two: Two, psql: psycopg.Connection[tuple[object, ...]], series_url: str, engine: Engine, streamed: bool
) -> None:
    """As above, of one statement: its snapshot is not older than the lock that it waited for."""
    await two[0].compress("lab.ticks", as_of=START + timedelta(days=11))
    psql.execute("UPDATE lab.ticks SET bid = 1 WHERE time >= %s", (START + timedelta(days=1),))
    chunk = next(chunk for chunk in await two[0].chunks("lab.ticks") if chunk.partial)
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND query NOT LIKE '%pg_stat_activity%'"
    )

    start, end = chunk.range.lower, chunk.range.upper

    async def read(store: AsyncTimescale) -> int:
        if not streamed:
            return (await store.raw("lab.ticks", start=start, end=end)).num_rows
        async with store.stream("lab.ticks", start=start, end=end) as batches:
            return sum([batch.num_rows async for batch in batches])

    plain = Catalog((Domain("lab", hypertables=(replace(COLD_TICKS, archive=False),)),))
    async with opened(series_url, engine, plain) as store:
        before = await read(store)
        with psql.transaction():
            for statement in engine.recompress(LEVEL, chunk):
                psql.execute(statement.sql.encode())
            reading = asyncio.create_task(read(store))
            async with asyncio.timeout(30):
                while psql.execute(waiting).fetchone() == (0,):
                    await asyncio.sleep(0.01)
        assert await reading == before > 0


@pytest.mark.timescale
async def test_a_chunk_that_another_has_compressed_is_compressed(two: Two) -> None:
    first, second = two
    (chunk, *_) = await first.chunks("lab.ticks")
    await first.compress("lab.ticks", as_of=START + timedelta(days=8))
    refused = [Statement("DO $$ BEGIN RAISE 'is already compressed' USING ERRCODE = '42710'; END $$")]
    await second._lifecycle._compress(LEVEL, chunk, refused)
    (_, other, *_) = await first.chunks("lab.ticks")
    with pytest.raises(StoreError, match="already compressed"):
        await second._lifecycle._compress(LEVEL, other, refused)


@pytest.mark.partitions
async def test_a_chunk_that_is_being_detached_is_waited_for(
    two: Two, series_url: str, engine: Engine, tmp_path: Path
) -> None:
    """As a reader makes it who has begun before; or a kill."""
    first, second = two
    (chunk, other, *_) = await first.chunks("lab.ticks")
    psql = await psycopg.AsyncConnection.connect(series_url)
    await psql.set_autocommit(True)
    await psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep', rolled_up = false")
    async with opened(series_url, engine, KEPT_CATALOG, archive=tier(tmp_path)) as keeping:
        async with psql.transaction():
            await psql.execute("SELECT FROM lab.ticks")
            detaching = asyncio.create_task(first._lifecycle._detach(LEVEL, chunk))
            async with asyncio.timeout(30):
                while await first._lifecycle._is_there(LEVEL, chunk, detached=False):
                    await asyncio.sleep(0.01)
            with pytest.raises(ConflictError, match="pending detach"):
                await second._lifecycle._detach(LEVEL, other)
            with pytest.raises(ConflictError, match="already exists"):
                await keeping.upsert("lab.ticks", [tick(START, "late", 7)])
        await detaching
        assert len(await second.chunks("lab.ticks")) == 5
    await psql.close()


@pytest.mark.partitions
async def test_a_detached_chunk_that_is_gone_is_left_to_whoever_took_it(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    (chunk, *_) = await first.chunks("lab.ticks")
    await first._archiving.begin(LEVEL, None, None)  # the steps of a run that was killed
    await first._archiving.keep(LEVEL, chunk)
    await first._lifecycle._detach(LEVEL, chunk)
    known = second._archiving._known

    async def and_it_is_dropped(*given: Any) -> Any:
        found = await known(*given)
        await first._lifecycle._drop(LEVEL, chunk)
        return found

    monkeypatch.setattr(second._archiving, "_known", and_it_is_dropped)
    with pytest.raises(ConflictError, match="another process"):
        await second._lifecycle._take(LEVEL, chunk, detached=True)
    assert await seen(first) == EXPECTED


class Once(ColdTier):
    """One that finds once that a file is not what was written."""

    failed = False

    def write(self, *given: Any, **named: Any) -> Any:
        if not self.failed:
            self.failed = True
            raise NotVerifiedError("as where rows are compressed while they are read")
        return super().write(*given, **named)


async def test_what_changed_under_the_eyes_of_a_run_is_looked_at_again(
    two: Two, series_url: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(series_url, engine, CATALOG, archive=Once(Directory(tmp_path / "archive"))) as store:
        assert [len(one.archived) for one in await store.drop_chunks("lab.ticks", as_of=ONE_DAY)] == [1]
    assert await seen(two[0]) == EXPECTED
    async with opened(series_url, engine, ROLLED_UP, archive=tier(tmp_path)) as store:
        told = [{"lab.ticks_5min": 2}]

        async def different(*_: object) -> dict[str, int]:
            return told.pop() if told else {}

        monkeypatch.setattr(store._lifecycle, "_different", different)
        await store.drop_chunks("lab.ticks", as_of=ONE_DAY + timedelta(days=1))
        told += [{"lab.ticks_5min": 2}] * 2
        with pytest.raises(NotVerifiedError, match=r"2 rows of lab\.ticks_5min"):
            await store.drop_chunks("lab.ticks", as_of=ONE_DAY + timedelta(days=2))
    assert len(await two[0].chunks("lab.ticks")) == 4
