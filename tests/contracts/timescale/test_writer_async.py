"""The buffered writer: what is durable when, and what becomes of rows that cannot be written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pyarrow as pa
import pytest

from storekeeper.catalog import Range
from storekeeper.errors import (
    ColumnError,
    ConflictError,
    InputError,
    NotMigratedError,
    RefusedRowsError,
    UnwrittenRowsError,
    ValueFitError,
)
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores_async import opened

START = moment("2014-05-07 10:00")
Psql = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
async def store(series_url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine) as store:
        yield store


def tick(minutes: float = 0, price: object = 100, **other: object) -> dict[str, object]:
    return {"time": START + timedelta(minutes=minutes), "symbol": "AAPL", "price": price, "volume": 1, **other}


def prices(psql: Psql) -> list[object]:
    return [row[0] for row in psql.execute("SELECT price FROM lab.ticks ORDER BY time")]


async def test_a_flush_returns_when_all_rows_before_it_are_committed(store: AsyncTimescale, psql: Psql) -> None:
    async with store.writer("lab.ticks", seconds=60) as ticks:
        await ticks.add(tick(0))
        await ticks.add(tick(1), tick(2))
        assert prices(psql) == []
        done = await ticks.flush()
        assert (done.rows, done.inserted) == (3, 3)
        assert len(prices(psql)) == 3
        assert (await ticks.flush()).rows == 3
        await ticks.add(tick(3))
    assert len(prices(psql)) == 4


async def test_it_writes_by_number_and_by_time(store: AsyncTimescale) -> None:
    for size, seconds, count in ((3, 60.0, 3), (1000, 0.05, 2)):
        written: list[int] = []

        async def seen(rows: pa.Table, written: list[int] = written) -> None:
            written.append(rows.num_rows)

        async with store.writer("lab.ticks", size=size, seconds=seconds, on_written=seen) as ticks:
            await ticks.add(*(tick(minute) for minute in range(count)))
            for minute in range(10_000):  # rows of one key: the buffer is never full for long
                if written:
                    break
                await ticks.add(tick(size + minute % 2, price=1 + minute))
            assert written, "neither size nor time made it write"


async def test_a_row_that_does_not_fit_is_refused_at_once(store: AsyncTimescale, psql: Psql) -> None:
    async with store.writer("lab.ticks") as ticks:
        await ticks.add(tick(0))
        with pytest.raises(ValueFitError):
            await ticks.add(tick(1, price="cheap"))
        with pytest.raises(ColumnError):
            await ticks.add({"time": START})
        await ticks.add(tick(2))
    assert len(prices(psql)) == 2


async def test_rows_that_the_store_refuses_come_back_and_the_others_are_in(store: AsyncTimescale, psql: Psql) -> None:
    with pytest.raises(RefusedRowsError) as at_the_end:
        async with store.writer("lab.ticks", seconds=60, on_conflict="error") as ticks:
            await ticks.add(*(tick(minute, price=-1 if minute in (3, 7) else minute + 1) for minute in range(10)))
            with pytest.raises(RefusedRowsError) as caught:
                await ticks.flush()
            assert [row["price"] for row, _ in caught.value.refused] == [-1, -1]
            assert prices(psql) == [1, 2, 3, 5, 6, 7, 9, 10]
            await ticks.add(tick(0, price=9), tick(20, price=20))
    ((row, error),) = at_the_end.value.refused
    assert row["price"] == 9
    assert "AAPL" in error.cause
    assert prices(psql)[-1] == 20


async def test_what_cannot_be_written_now_waits_for_the_next_flush(store: AsyncTimescale, psql: Psql) -> None:
    async with store.writer("lab.ticks", seconds=60) as ticks:
        await ticks.add(tick(0))
        await ticks.flush()
        psql.execute("ALTER TABLE lab.ticks RENAME TO away")
        await ticks.add(tick(1))
        with pytest.raises(NotMigratedError):
            await ticks.flush()
        psql.execute("ALTER TABLE lab.away RENAME TO ticks")
        await ticks.flush()
        assert len(prices(psql)) == 2


async def test_rows_that_are_left_at_the_end_are_handed_back(store: AsyncTimescale, psql: Psql) -> None:
    with pytest.raises(UnwrittenRowsError) as caught:
        async with store.writer("lab.ticks", seconds=60) as ticks:
            await ticks.add(tick(0), tick(1))
            psql.execute("ALTER TABLE lab.ticks RENAME TO away")
    assert [row["time"] for row in caught.value.rows] == [START, START + timedelta(minutes=1)]
    assert isinstance(caught.value.__cause__, NotMigratedError)


async def test_what_ended_the_block_is_not_hidden(store: AsyncTimescale, psql: Psql) -> None:
    with pytest.raises(KeyError) as caught:
        async with store.writer("lab.ticks", seconds=60) as ticks:
            await ticks.add(tick(0), tick(1, price=-1))
            raise KeyError("mine")
    assert "refused" in caught.value.__notes__[0]
    refused = caught.value.__context__
    assert isinstance(refused, RefusedRowsError)
    assert [row["price"] for row, _ in refused.refused] == [-1]
    assert len(prices(psql)) == 1


async def test_rows_that_are_left_are_handed_back_whatever_ended_the_block(store: AsyncTimescale, psql: Psql) -> None:
    psql.execute("ALTER TABLE lab.ticks RENAME TO away")
    with pytest.raises(UnwrittenRowsError) as full:
        async with store.writer("lab.ticks", size=1, capacity=2, seconds=0.01) as ticks:
            for minute in range(10):
                await ticks.add(tick(minute))
    assert [row["time"] for row in full.value.rows] == [START, START + timedelta(minutes=1)]
    assert isinstance(full.value.__cause__, NotMigratedError)

    with pytest.raises(UnwrittenRowsError) as flushed:
        async with store.writer("lab.ticks", seconds=60) as ticks:
            await ticks.add(tick())
            await ticks.flush()
    assert len(flushed.value.rows) == 1

    async def failing(_: pa.Table) -> None:
        psql.execute("ALTER TABLE lab.ticks RENAME TO away")
        raise LookupError("mine")

    psql.execute("ALTER TABLE lab.away RENAME TO ticks")
    with pytest.raises(UnwrittenRowsError) as told:
        async with store.writer("lab.ticks", seconds=60, on_written=failing) as ticks:
            await ticks.add(tick(0), tick(1, bid=1))  # of other columns: written apart
            await ticks.flush()
    assert len(told.value.rows) == 1
    assert isinstance(told.value.__cause__, NotMigratedError)
    assert isinstance(told.value.__context__, LookupError)

    with pytest.raises(ZeroDivisionError) as caught:
        async with store.writer("lab.ticks", seconds=60) as ticks:
            await ticks.add(tick())
            try:
                raise KeyError("first")
            except KeyError:
                _ = 1 / 0
    assert "could not be written" in caught.value.__notes__[0]
    assert isinstance(caught.value.__context__, KeyError)
    left = caught.value.__context__.__context__
    assert isinstance(left, UnwrittenRowsError)
    assert len(left.rows) == 1


async def test_who_is_given_the_rows_may_fail(store: AsyncTimescale, psql: Psql) -> None:
    async def failing(rows: pa.Table) -> None:
        raise LookupError(rows.num_rows)

    with pytest.raises(LookupError, match="1"):
        async with store.writer("lab.ticks", on_written=failing) as ticks:
            await ticks.add(tick(0))
    with pytest.raises(LookupError):
        await store.append("lab.ticks", [tick(1)], on_written=failing)
    assert len(prices(psql)) == 2


async def test_a_column_that_is_left_out_takes_its_default(store: AsyncTimescale) -> None:
    row = {"station": "6f1c9f0e-6f0c-4b0e-9d56-0d5d3c1b2a10", "kind": 1}
    async with store.writer("lab.Readings", seconds=60) as readings:
        await readings.add({**row, "at": START, "note": '{"a": 1}'})
        await readings.add({**row, "at": START + timedelta(minutes=1)})
    assert [found["note"] for found in (await store.raw("lab.Readings")).to_pylist()] == ['{"a": 1}', "{}"]


@pytest.mark.partitions
async def test_a_chunk_that_goes_again_and_again_refuses_no_row(
    store: AsyncTimescale, psql: Psql, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_vain(*_: object, **__: object) -> list[Range]:
        return []

    async with store.writer("lab.ticks", seconds=60) as ticks:
        monkeypatch.setattr(store._chunks, "ensure", in_vain)
        await ticks.add(tick(0))
        with pytest.raises(ConflictError, match="no partition"):
            await ticks.flush()
        monkeypatch.undo()
        assert (await ticks.flush()).inserted == 1


async def test_it_takes_rows_within_its_block_alone(store: AsyncTimescale, psql: Psql) -> None:
    ticks = store.writer("lab.ticks", seconds=60)
    with pytest.raises(InputError, match="closed"):
        await ticks.add(tick(0))
    assert (await ticks.flush()).rows == 0
    async with ticks:
        await ticks.add(tick(1))
        with pytest.raises(InputError, match="entered before"):
            await ticks.__aenter__()
    with pytest.raises(InputError, match="closed"):
        await ticks.add(tick(2))
    assert (await ticks.flush()).rows == 1
    await ticks.close()
    with pytest.raises(InputError, match="entered before"):
        await ticks.__aenter__()
    assert len(prices(psql)) == 1


async def test_rows_that_are_left_and_rows_that_were_refused_are_both_told(store: AsyncTimescale, psql: Psql) -> None:
    async def away(_: pa.Table) -> None:
        psql.execute("ALTER TABLE lab.ticks RENAME TO away")
        raise LookupError("mine")

    with pytest.raises(UnwrittenRowsError) as caught:
        async with store.writer("lab.ticks", seconds=60, on_conflict="error", on_written=away) as ticks:
            await ticks.add(tick(0, price=-1), tick(1), tick(2), tick(3))  # written in halves
    assert [row["time"] for row in caught.value.rows] == [START + timedelta(minutes=minute) for minute in (2, 3)]
    refused = caught.value.__context__
    assert isinstance(refused, RefusedRowsError)
    assert [row["price"] for row, _ in refused.refused] == [-1]
    assert isinstance(refused.__context__, LookupError)
    assert [note.partition(":")[0] for note in caught.value.__notes__] == ["and", "and"]


async def test_bounds_that_make_no_sense(store: AsyncTimescale) -> None:
    for bounds in ({"size": 0}, {"seconds": 0}, {"size": 10, "capacity": 5}):
        with pytest.raises(InputError):
            store.writer("lab.ticks", **bounds)  # type: ignore[arg-type]  # numbers all
