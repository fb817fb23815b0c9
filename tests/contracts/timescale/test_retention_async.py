"""Retention: nothing goes before the rollups hold it; each step can be the last, and the next run goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import timedelta

import psycopg
import pytest

from storekeeper.catalog import Aggregate, Catalog, Domain, Measure, Range, Rollup
from storekeeper.errors import BelowWatermarkError, ConflictError, NotSupportedError, NotVerifiedError
from storekeeper.span import days
from storekeeper.stores.timescale import lifecycle_async
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.statement import Inspection
from timescale_series import TICKS, moment, run, stored_in
from timescale_stores_async import opened

Psql = psycopg.Connection[tuple[object, ...]]

START = moment("2014-05-01 00:00")
AS_OF = moment("2014-06-08 05:17")  # 30 days before: 2014-05-09 05:17


@pytest.fixture
async def store(series_url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine) as store:
        rows = [
            {"time": START + timedelta(minutes=20 * step), "symbol": symbol, "price": 1 + step % 50, "volume": 1.25}
            for step in range(72 * 12)
            for symbol in ("AAPL", "MSFT")
        ]
        await store.append("lab.ticks", rows)
        yield store


async def held(store: AsyncTimescale) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (await store.raw("lab.ticks_1h", exact=True)).to_pylist()
    return rows


@pytest.mark.one_backend
async def test_what_is_due_goes_and_the_rollups_hold_it(store: AsyncTimescale) -> None:
    foreseen = await store.drop_chunks("lab.ticks", as_of=AS_OF, dry_run=True)
    assert len(await store.chunks("lab.ticks")) == 12
    done = await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert [one.dataset for one in done] == ["lab.ticks"]
    assert [chunk.range.lower for chunk in done[0].chunks] == [START + timedelta(days=day) for day in range(8)]
    assert done[0].watermark == moment("2014-05-09 00:00") == await store.watermark("lab.ticks")
    assert [chunk.range for chunk in foreseen[0].chunks] == [chunk.range for chunk in done[0].chunks]
    assert foreseen[0].watermark == done[0].watermark
    assert (await store.raw("lab.ticks", limit=1)).to_pylist()[0]["time"] == moment("2014-05-09 00:00")
    rows = await held(store)
    assert sum(row["count"] for row in rows) == 8 * 72 * 2  # type: ignore[misc]  # counts are whole numbers
    assert await store.drop_chunks("lab.ticks", as_of=AS_OF) == []


async def test_a_dataset_that_never_dropped_takes_history(store: AsyncTimescale) -> None:
    await store.drop_chunks("lab.ticks", as_of=START + timedelta(days=30))
    assert await store.watermark("lab.ticks") is None
    await store.append("lab.ticks", [{"time": moment("1999-01-01 00:00"), "symbol": "A", "price": 1, "volume": 1}])
    done = await store.drop_chunks("lab.ticks", as_of=START + timedelta(days=31))
    assert [chunk.range.lower for chunk in done[0].chunks] == [moment("1999-01-01 00:00"), START]
    assert {one.dataset for one in done} == {"lab.ticks", "lab.ticks_5min"}, "the rollup's own year has passed too"
    assert (await held(store))[0]["bucket"] == moment("1999-01-01 00:00")


@pytest.mark.one_backend
async def test_late_rows_are_in_the_rollups_before_their_chunk_goes(store: AsyncTimescale, psql: Psql) -> None:
    await store.refresh("lab.ticks", as_of=AS_OF)
    psql.execute("INSERT INTO lab.ticks (time, symbol, price, volume) VALUES ('2014-05-02 00:01Z', 'LATE', 5, 7)")
    psql.execute("UPDATE lab.ticks SET price = 1000 WHERE time = '2014-05-03 00:00Z' AND symbol = 'AAPL'")
    psql.execute("DELETE FROM lab.ticks WHERE time >= '2014-05-04Z' AND time < '2014-05-05Z'")
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    rows = {(row["bucket"], row["symbol"]): row for row in await held(store)}
    assert rows[moment("2014-05-02 00:00"), "LATE"]["volume"] == 7
    assert rows[moment("2014-05-03 00:00"), "AAPL"]["high"] == 1000
    assert not any(bucket.day == 4 for bucket, _ in rows)  # type: ignore[attr-defined]  # it is a time


@pytest.mark.one_backend
async def test_no_refresh_reaches_below_the_watermark(store: AsyncTimescale, psql: Psql) -> None:
    """As one would that was planned before the watermark rose, and comes to its turn after it."""
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    await store.refresh("lab.ticks", as_of=AS_OF)
    before = await held(store)
    for dataset in ("lab.ticks", "lab.ticks_5min"):
        psql.execute(
            "INSERT INTO storekeeper.invalidations (dataset, lower, upper) VALUES (%s, '2014-05-07Z', '2014-05-10Z')",
            (dataset,),
        )
    await store.refresh("lab.ticks", as_of=AS_OF)
    assert await held(store) == before
    assert await store.pending("lab.ticks") == []


async def test_rows_that_come_while_it_verifies_are_held_too(store: AsyncTimescale, psql: Psql, engine: Engine) -> None:
    class Meddling(type(engine)):  # type: ignore[misc]  # whichever engine it is
        """Somebody writes a late row just before the last of the rows is looked at."""

        left = 2

        def verify(self, level: Level, window: Range) -> Inspection[int]:
            if window.upper == moment("2014-05-09 00:00") and Meddling.left:
                Meddling.left -= 1
                psql.execute(
                    "INSERT INTO lab.ticks (time, symbol, price, volume) VALUES (%s, 'LATE', 5, 7)",
                    (moment(f"2014-05-02 0{Meddling.left}:01"),),
                )
            return super().verify(level, window)  # type: ignore[no-any-return]  # as the engine's

    meddling = Meddling(**{part.name: getattr(engine, part.name) for part in fields(engine)})  # type: ignore[arg-type]  # a dataclass
    meddled = AsyncTimescale(store.pool, store.catalog, meddling)
    done = await meddled.drop_chunks("lab.ticks", as_of=AS_OF)
    assert len(done[0].chunks) == 8
    late = await store.raw("lab.ticks_1h", where={"symbol": ["LATE"]})
    assert [row["volume"] for row in late.to_pylist()] == [7, 7]


@pytest.mark.one_backend
async def test_a_rollup_that_was_tampered_with_stops_the_drop(store: AsyncTimescale, psql: Psql) -> None:
    await store.refresh("lab.ticks", as_of=AS_OF)
    with psql.transaction():
        fine, coarse = stored_in(psql, "lab.ticks_5min"), stored_in(psql, "lab.ticks_1h")
        psql.execute(f"UPDATE {fine} SET high = high + 1 WHERE bucket = '2014-05-02 00:00Z'".encode())
        psql.execute(f"DELETE FROM {coarse} WHERE bucket = '2014-05-03 00:00Z'".encode())
    with pytest.raises(NotVerifiedError) as caught:
        await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert "2 rows of lab.ticks_1h" in str(caught.value)
    assert len(await store.chunks("lab.ticks")) == 12
    assert await store.watermark("lab.ticks") is None
    psql.execute("UPDATE lab.ticks SET price = price WHERE time < '2014-05-04Z'")
    assert len((await store.drop_chunks("lab.ticks", as_of=AS_OF))[0].chunks) == 8


async def test_a_writer_in_flight_holds_the_watermark(
    store: AsyncTimescale, series_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle_async, "_RAISING", {"lock_timeout": "50ms"})
    with psycopg.connect(series_url) as writer:
        writer.execute("UPDATE lab.ticks SET volume = 9 WHERE time = '2014-05-02 00:00Z'")
        with pytest.raises(ConflictError):
            await store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert len(await store.chunks("lab.ticks")) == 12
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert [row["volume"] for row in await held(store) if row["bucket"] == moment("2014-05-02 00:00")] == [11.5, 11.5]


async def test_a_run_that_ended_once_the_watermark_stood_is_finished_by_the_next(
    store: AsyncTimescale, psql: Psql
) -> None:
    await store.refresh("lab.ticks", as_of=AS_OF)
    before = await held(store)
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-09Z' WHERE dataset = 'lab.ticks'")
    done = await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert len(done[0].chunks) == 8
    assert done[0].refreshed == ()
    assert await held(store) == before
    assert [chunk.range.lower.day for chunk in await store.chunks("lab.ticks")] == [9, 10, 11, 12]


@pytest.mark.partitions
@pytest.mark.parametrize("state", ["pending", "detached"])
async def test_a_run_that_was_killed_is_finished_by_the_next(
    store: AsyncTimescale, psql: Psql, series_url: str, state: str
) -> None:
    await store.refresh("lab.ticks", as_of=AS_OF)
    before = await held(store)
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-09Z' WHERE dataset = 'lab.ticks'")
    if state == "pending":
        with psycopg.connect(series_url) as reader:
            reader.execute("SELECT count(*) FROM lab.ticks")
            psql.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                psql.execute("ALTER TABLE lab.ticks DETACH PARTITION lab.ticks_p20140501 CONCURRENTLY")
    if state == "detached":
        psql.execute("ALTER TABLE lab.ticks DETACH PARTITION lab.ticks_p20140501 CONCURRENTLY")
    done = await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert len(done[0].chunks) == 8
    assert done[0].refreshed == ()
    assert await held(store) == before
    tables = psql.execute("SELECT relname FROM pg_class WHERE relname LIKE 'ticks_p%' AND relkind = 'r'").fetchall()
    assert sorted(tables) == [(f"ticks_p201405{day:02}",) for day in (9, 10, 11, 12)]


@pytest.mark.partitions
async def test_a_detached_table_above_the_watermark_is_nobodys_to_drop(store: AsyncTimescale, psql: Psql) -> None:
    psql.execute("ALTER TABLE lab.ticks DETACH PARTITION lab.ticks_p20140512")
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert psql.execute("SELECT count(*) FROM lab.ticks_p20140512").fetchone() == (144,)


@pytest.mark.partitions
async def test_a_reader_of_the_series_delays_the_drop_and_sees_its_snapshot(
    store: AsyncTimescale, psql: Psql, series_url: str
) -> None:
    """No reader is cut off, and no writer waits, while a chunk is detached."""
    await store.refresh("lab.ticks", as_of=AS_OF)
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-09Z' WHERE dataset = 'lab.ticks'")
    with psycopg.connect(series_url) as reader, psycopg.connect(series_url, autocommit=True) as writer:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute("SELECT count(*) FROM lab.ticks").fetchone() == (1728,)
        psql.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            psql.execute("ALTER TABLE lab.ticks DETACH PARTITION lab.ticks_p20140501 CONCURRENTLY")
        writer.execute("SET statement_timeout = '1s'")
        writer.execute("INSERT INTO lab.ticks (time, symbol, price, volume) VALUES ('2014-05-12 23:59Z', 'A', 5, 7)")
        assert reader.execute("SELECT count(*) FROM lab.ticks").fetchone() == (1728,)
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert (await store.raw("lab.ticks")).num_rows == 4 * 144 + 1


@pytest.mark.one_backend
async def test_the_rollup_goes_after_its_year_once_the_coarser_one_holds_it(store: AsyncTimescale) -> None:
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    before = await held(store)
    done = await store.drop_chunks("lab.ticks", as_of=moment("2015-05-25 00:00"))
    assert [(one.dataset, len(one.chunks)) for one in done] == [("lab.ticks", 4), ("lab.ticks_5min", 1)]
    assert (await store.raw("lab.ticks_5min")).num_rows == 0
    rows = await held(store)
    assert rows[: len(before)] == before
    assert sum(row["count"] for row in rows) == 1728  # type: ignore[misc]  # counts are whole numbers
    # the rollup's chunk ended after the last row: later ones could not reach the hours any more, so they are refused
    mark = await store.watermark("lab.ticks_5min")
    assert mark == done[1].chunks[0].range.upper == await store.watermark("lab.ticks")
    assert mark is not None
    assert mark > moment("2014-05-13 00:00")
    with pytest.raises(BelowWatermarkError):
        row = {"time": mark - timedelta(seconds=1), "symbol": "A", "price": 1, "volume": 1}
        await store.append("lab.ticks", [row])


@pytest.mark.one_backend
async def test_a_rollup_that_is_made_when_rows_are_gone_has_whole_buckets_only(
    store: AsyncTimescale, series_url: str, engine: Engine, psql: Psql
) -> None:
    for rollup in reversed(TICKS.rollups):
        run(psql, engine.drop_rollup(TICKS, rollup))
    without = replace(TICKS, rollups=())
    weeks = Rollup("ticks_weekly", every=days(7), by=("symbol",), measures=(Measure("count", Aggregate.COUNT),))
    rolled_up = replace(TICKS, rollups=(weeks,))
    async with opened(series_url, engine, Catalog((Domain("lab", hypertables=(without,)),))) as plain:
        await plain.drop_chunks("lab.ticks", as_of=AS_OF)
    with psql.transaction():
        psql.execute("SET LOCAL timezone = 'America/New_York'")
        run(psql, engine.create_rollup(rolled_up, weeks))
    async with opened(series_url, engine, Catalog((Domain("lab", hypertables=(rolled_up,)),))) as store:
        assert await store.watermark("lab.ticks_weekly") == moment(
            "2014-05-12 00:00"
        )  # half of the week before is gone
        for _ in range(2):
            await store.refresh("lab.ticks", as_of=moment("2014-06-30 00:00"))
            found = await store.raw("lab.ticks_weekly")
            assert [(row["bucket"], row["count"]) for row in found.to_pylist()] == [
                (moment("2014-05-12 00:00"), 72),
                (moment("2014-05-12 00:00"), 72),
            ]
            psql.execute("UPDATE lab.ticks SET price = price + 1 WHERE time = '2014-05-10 12:00Z'")
        with pytest.raises(BelowWatermarkError):
            await store.bars("lab.ticks", every=days(7), measures=weeks.measures, start=moment("2014-05-05 00:00"))
        (done,) = await store.drop_chunks("lab.ticks", as_of=moment("2014-06-20 00:00"))
        assert done.watermark == moment("2014-05-19 00:00")


@pytest.mark.one_backend
async def test_late_rows_that_are_kept_stay_outside_the_rollup(store: AsyncTimescale, psql: Psql) -> None:
    """Buckets are weeks, chunks days: whole weeks go."""

    def row(day: str, value: float) -> dict[str, object]:
        return {"time": moment(f"2014-05-{day} 12:00"), "sensor": "s", "value": value, "weight": 0.1}

    await store.append("lab.late", [row(f"{day:02}", day) for day in range(5, 26)])  # three weeks from a Monday
    done = await store.drop_chunks("lab.late", as_of=moment("2014-05-30 00:00"))
    assert [chunk.range.lower.day for chunk in done[0].chunks] == list(range(5, 19))
    assert done[0].watermark == moment("2014-05-19 00:00")
    # TimescaleDB of 2.18 to 2.21 makes one bucket more than it is told
    weeks = await store.raw("lab.late_weekly", end=done[0].watermark, exact=True)
    assert [(week["bucket"].day, week["open"], week["close"], week["count"]) for week in weeks.to_pylist()] == [
        (5, 5, 11, 7),
        (12, 12, 18, 7),
    ]
    await store.append("lab.late", [row("07", 99), row("20", 77)])
    psql.execute("UPDATE lab.late SET value = 98 WHERE value = 99")
    await store.refresh("lab.late", as_of=moment("2014-06-30 00:00"))
    assert (await store.raw("lab.late", where={"value": [98]})).num_rows == 1
    rows = (await store.raw("lab.late_weekly", exact=True)).to_pylist()
    assert rows[:2] == weeks.to_pylist()
    assert (rows[2]["high"], rows[2]["count"]) == (77, 8)
    await store.drop_chunks("lab.late", as_of=moment("2014-05-30 00:00"))
    assert (await store.raw("lab.late")).num_rows == 8
    assert (await store.raw("lab.late_weekly", exact=True)).to_pylist() == rows


@pytest.mark.partitions
async def test_compression_is_said_to_be_missing(store: AsyncTimescale) -> None:
    assert await store.compress("lab.ticks", as_of=START) == []
    with pytest.raises(NotSupportedError, match="not supported by plain PostgreSQL partitions"):
        await store.compress("lab.ticks", as_of=AS_OF, dry_run=True)


@pytest.mark.one_backend
async def test_chunks_ahead(store: AsyncTimescale, psql: Psql) -> None:
    made = await store.make_chunks_ahead("lab.ticks", as_of=AS_OF, count=2, dry_run=True)
    assert made == await store.make_chunks_ahead("lab.ticks", as_of=AS_OF, count=2)
    assert [piece.lower.day for piece in made] == [8, 9, 10]
    assert await store.make_chunks_ahead("lab.ticks", as_of=AS_OF, count=2) == []
    assert [chunk.range.lower.year for chunk in await store.chunks("lab.ticks_1h")] == [2014, 2015, 2016]
    (*_, last) = await store.chunks("lab.ticks")
    psql.execute(f'DROP TABLE {last.schema or "lab"}."{last.name}"'.encode())
    assert await store.make_chunks_ahead("lab.ticks", as_of=AS_OF, count=2) == [last.range]


async def test_sizes(store: AsyncTimescale, psql: Psql) -> None:
    psql.execute("ANALYZE lab.ticks")
    sizes = {size.dataset: size for size in await store.sizes()}
    assert (sizes["lab.ticks"].rows, sizes["lab.ticks"].chunks) == (1728, 12)
    assert sizes["lab.ticks"].bytes > 100_000
    assert sizes["lab.ticks_1h"].rollup_of == "lab.ticks"
    assert (sizes["lab.ticks"].oldest, sizes["lab.ticks"].newest) == (START, START + timedelta(days=12))
