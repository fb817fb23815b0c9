"""Sealed days in one call, several connections at once, and quality rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from series_servers import SeriesServer
from storekeeper.catalog import Catalog, Domain, Flag, Hypertable, Range
from storekeeper.errors import CheckError, DeclarationError, InputError, NaiveTimeError, UnavailableError, UniqueError
from storekeeper.span import days
from storekeeper.stores.sql.arrow import Table, pa
from storekeeper.stores.timescale.chunk_maker_async import AsyncChunkMaker
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from timescale_series import script
from timescale_stores_async import opened

START = datetime(2014, 5, 7, tzinfo=UTC)


def _series(name: str, *, unique: bool) -> Hypertable:
    table = sa.Table(
        name,
        sa.MetaData(schema="lab"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("price", sa.Numeric(18, 6), nullable=False),
        sa.Column("bid", sa.Numeric(18, 6)),
        sa.Column("ask", sa.Numeric(18, 6)),
        sa.CheckConstraint("price > 0", name="check_price_positive"),
    )
    sa.Index(f"idx_{name}", table.c.symbol, table.c.time.desc(), unique=unique)
    return Hypertable(
        table,
        time="time",
        chunk=days(1),
        natural_key=("symbol", "time") if unique else (),
        segment_by=("symbol",),
        order_by=("time DESC",),
        flags=(
            Flag("bid_over_ask", table.c.bid > table.c.ask),
            Flag("wide", table.c.ask - table.c.bid > table.c.price / 10),
        ),
    )


BARS, FREE = _series("bars", unique=True), _series("free", unique=False)


@pytest.fixture
def url(series_server: SeriesServer) -> Iterator[str]:
    with series_server.database(script(series_server.engine, (BARS, FREE))) as url:
        yield url


@pytest.fixture
async def store(url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(url, engine, Catalog((Domain("lab", hypertables=(BARS, FREE)),))) as store:
        yield store


def bars(first: int = 0, last: int = 3, every: int = 10) -> Table:
    """Days of bars of three symbols, in order of time."""
    minutes = np.arange(first * 1440, last * 1440, every)
    start = int(START.timestamp()) * 1_000_000
    times = pa.array(np.repeat(start + minutes * 60_000_000, 3), pa.timestamp("us", tz="UTC"))
    prices = 100 + np.arange(len(times)) % 97 / 100
    made: Table = pa.table({"time": times, "symbol": ["A", "B", "C"] * len(minutes), "price": prices})
    return made


def listed(rows: Table, column: str) -> list[Any]:
    found: list[Any] = rows.column(column).to_pylist()
    return found


async def counted(store: AsyncTimescale, dataset: str) -> tuple[int, Decimal]:
    rows = await store.raw(dataset, exact=True, columns=["price"])
    return rows.num_rows, sum(listed(rows, "price"), Decimal())


@pytest.mark.one_backend
@pytest.mark.parametrize("dataset", ["lab.bars", "lab.free"])
async def test_sealed_days_lie_in_the_columnstore(store: AsyncTimescale, engine: Engine, dataset: str) -> None:
    given = bars()
    done = await store.backfill(dataset, given)
    assert (done.appended.rows, done.appended.inserted, len(done.chunks)) == (given.num_rows, given.num_rows, 3)
    chunks = await store.chunks(dataset)
    assert tuple(chunk.range for chunk in chunks) == done.chunks
    if engine.columnstore:
        assert (done.compressed, done.note) == (done.chunks, "")
        assert all(chunk.compressed and not chunk.partial for chunk in chunks)
    else:
        assert (done.compressed, done.note) == ((), "appended only: plain PostgreSQL partitions has no columnstore")
    prices = listed(given, "price")
    assert await counted(store, dataset) == (len(prices), sum((Decimal(str(price)) for price in prices), Decimal()))


@pytest.mark.parametrize("dataset", ["lab.bars", "lab.free"])
async def test_frames_one_after_another(store: AsyncTimescale, engine: Engine, dataset: str) -> None:
    given = bars()
    middle = given.num_rows // 2  # within a chunk
    done = await store.backfill(dataset, iter([given.slice(0, middle), given.slice(middle)]))
    assert done.appended.inserted == given.num_rows
    chunks = await store.chunks(dataset)
    assert all(chunk.compressed is engine.columnstore and not chunk.partial for chunk in chunks)
    rows = await store.raw(dataset)
    times = listed(rows, "time")
    assert times == sorted(times)
    assert sorted(listed(rows, "price")) == sorted(listed(given, "price"))


async def test_days_that_are_compressed_take_more(store: AsyncTimescale, engine: Engine) -> None:
    await store.backfill("lab.bars", bars(every=20))
    with pytest.raises(UniqueError) as caught:
        await store.backfill("lab.bars", [bars(3, 4), bars()])
    assert "432 rows" in caught.value.__notes__[0]
    done = await store.backfill("lab.bars", [bars(3, 4), bars()], on_conflict="skip")
    assert (done.appended.inserted, done.appended.skipped) == (3 * 72 * 3, 432 + 3 * 72 * 3)
    assert (await counted(store, "lab.bars"))[0] == 4 * 144 * 3
    assert all(chunk.compressed is engine.columnstore and not chunk.partial for chunk in await store.chunks("lab.bars"))
    before = await store.raw("lab.bars")
    again = await store.upsert("lab.bars", bars(0, 4))
    assert (again.inserted, again.updated) == (0, again.rows - again.skipped)
    assert (await store.raw("lab.bars", columns=["time", "symbol"])).equals(before.select(["time", "symbol"]))


async def test_two_connections_write_all_rows_or_none(store: AsyncTimescale, url: str) -> None:
    given = bars()
    spoiled = given.set_column(2, "price", pa.array([*listed(given, "price")[:-1], -1.0]))
    with pytest.raises(CheckError):
        await store.append("lab.bars", spoiled, connections=2)
    assert (await counted(store, "lab.bars"))[0] == 0
    assert (await store.append("lab.bars", given, connections=2)).inserted == given.num_rows
    done = await store.upsert("lab.bars", bars(2, 5), connections=3)
    assert (done.inserted, done.updated + done.skipped) == (2 * 432, 432)
    assert (await store.append("lab.free", bars(0, 1), connections=2)).inserted == 432  # of one chunk one is enough
    # chunks that somebody took away are made before, not by the server for one of them, while the other waits
    with psycopg.connect(url, autocommit=True) as psql:
        psql.execute("TRUNCATE lab.bars")
        psql.execute("DELETE FROM storekeeper.invalidations")
    assert (await store.append("lab.bars", given, connections=2)).inserted == given.num_rows
    with pytest.raises(InputError, match="the pool has"):
        await store.append("lab.bars", given, connections=1000)


async def test_a_server_that_goes_in_the_middle_leaves_nothing(store: AsyncTimescale) -> None:
    given = bars()
    with pytest.raises(UnavailableError):
        async with store.appending("lab.bars") as rows:
            await rows.write(given.slice(0, 300))
            async with store.pool.begin() as other:
                await other.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' "
                        "AND backend_type = 'client backend'"
                    )
                )
            await rows.write(given.slice(300))
    assert (await counted(store, "lab.bars"))[0] == 0
    assert (await store.append("lab.bars", given)).inserted == given.num_rows


@pytest.mark.one_backend
async def test_times_that_pandas_cannot_write(store: AsyncTimescale) -> None:
    moments = [datetime(2262, 4, 12, tzinfo=UTC), datetime(1677, 9, 20, tzinfo=UTC), datetime(2262, 4, 11, tzinfo=UTC)]
    rows = pa.table(
        {"time": pa.array(moments, pa.timestamp("us", tz="UTC")), "symbol": ["A"] * 3, "price": [1.0, 2.0, 3.0]}
    )
    await store.append("lab.bars", rows)
    assert listed((await store.raw("lab.bars", columns=["time"])), "time") == sorted(moments)
    with pytest.raises(UniqueError):
        await store.append("lab.bars", rows)
    assert (await store.upsert("lab.bars", rows)).skipped == 3


@pytest.mark.one_backend
async def test_bad_rows_are_named_and_nothing_is_written(store: AsyncTimescale) -> None:
    good: dict[str, object] = {"time": START, "symbol": "A", "price": 1}
    naive = {**good, "time": datetime(2014, 5, 7)}  # noqa: DTZ001  # that is the point
    with pytest.raises(NaiveTimeError, match="row 1, column time"):
        await store.append("lab.bars", [good, naive])
    for wrong in (float("nan"), float("inf"), Decimal("1e12"), "-inf", 10**40):
        with pytest.raises(InputError, match="row 2, column price"):
            await store.append("lab.bars", [good, {**good, "symbol": "B"}, {**good, "symbol": "C", "price": wrong}])
    with pytest.raises(UniqueError, match="A"):
        await store.append("lab.bars", [good, good])
    assert (await counted(store, "lab.bars"))[0] == 0
    assert (await store.append("lab.bars", bars().slice(0, 0))).rows == 0
    assert (await store.append("lab.bars", bars().take(list(range(99, -1, -1))))).inserted == 100


@pytest.mark.one_backend
async def test_flagged_rows_are_kept_counted_and_listed(store: AsyncTimescale) -> None:
    rows: list[dict[str, object]] = [
        {"time": START + timedelta(days=place), "symbol": "A", "price": 100, "bid": bid, "ask": ask}
        for place, (bid, ask) in enumerate([(99, 101), (101, 99), (80, 120), (None, 1), (7, 7)])
    ]
    done = await store.append("lab.bars", rows)
    assert (done.inserted, done.flagged) == (5, {"bid_over_ask": 1, "wide": 1})
    found = await store.flagged("lab.bars", exact=True)
    assert [(row["bid"], row["flags"]) for row in found.to_pylist()] == [(101, "bid_over_ask"), (80, "wide")]
    assert (await store.flagged("lab.bars", start=START + timedelta(days=2))).num_rows == 1
    assert (await store.flagged("lab.bars", end=START + timedelta(days=1))).num_rows == 0
    assert listed((await store.flagged("lab.bars", flags=["wide"])), "flags") == ["wide"]
    with pytest.raises(DeclarationError, match="no flag narrow"):
        await store.flagged("lab.bars", flags=["narrow"])


async def test_rows_that_come_piece_by_piece_are_flagged_too(store: AsyncTimescale) -> None:
    async with store.appending("lab.free") as rows:
        done = await rows.write([{"time": START, "symbol": "A", "price": 100, "bid": 2, "ask": 1}])
    assert done.flagged == {"bid_over_ask": 1}


@pytest.mark.timescale
async def test_a_service_made_no_chunk_that_the_server_makes_for_the_rows(
    store: AsyncTimescale, engine: Engine
) -> None:
    """Whoever takes it for its own writes as the first into it, in the columnstore's order."""
    maker = AsyncChunkMaker(store.pool, engine, service=True)
    assert await maker.ensure(Level(FREE, 0), [Range(START, START + timedelta(days=1))]) == []
    assert not await store.chunks("lab.free")
