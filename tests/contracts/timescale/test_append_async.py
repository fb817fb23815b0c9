"""Rows into hypertables: all or nothing, chunks on demand, conflicts by the natural key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest

from storekeeper.errors import (
    BelowWatermarkError,
    CheckError,
    ColumnError,
    InputError,
    NaiveTimeError,
    UniqueError,
    ValueFitError,
)
from storekeeper.stores.timescale import append_async
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.partitions import PartitionsEngine
from timescale_series import moment
from timescale_stores_async import chunk_at, opened

START = moment("2014-05-07 10:00")


@pytest.fixture
async def store(series_url: str, engine: Engine) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine) as store:
        yield store


def tick(minutes: float = 0, symbol: str = "AAPL", price: object = 100, **other: object) -> dict[str, object]:
    return {"time": START + timedelta(minutes=minutes), "symbol": symbol, "price": price, "volume": 1, **other}


async def stored(store: AsyncTimescale, dataset: str = "lab.ticks") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (await store.raw(dataset, exact=True)).to_pylist()
    return rows


@pytest.mark.one_backend
async def test_rows_come_back_as_they_went_in(store: AsyncTimescale) -> None:
    done = await store.append("lab.ticks", [tick(price=Decimal("101.123456"), volume=Decimal("0.00000001"), bid=1)])
    assert (done.rows, done.inserted, done.updated, done.skipped) == (1, 1, 0, 0)
    assert await stored(store) == [
        {
            "time": START,
            "symbol": "AAPL",
            "price": Decimal("101.123456"),
            "volume": Decimal("0.00000001"),
            "bid": Decimal("1.000000"),
            "ask": None,
        }
    ]


@pytest.mark.one_backend
async def test_every_kind_of_column_and_names_that_need_quotes(store: AsyncTimescale) -> None:
    station = UUID("6f1c9f0e-6f0c-4b0e-9d56-0d5d3c1b2a10")
    await store.append(
        "lab.Readings",
        [
            {"at": START, "station": station, "kind": 2, "value": 1.5, "note": {"by": ":hand"}},
            {"at": START, "station": station, "kind": 1, "value": None, "note": {}},
        ],
    )
    assert await stored(store, "lab.Readings") == [
        {"at": START, "station": str(station), "kind": 1, "value": None, "note": "{}"},
        {"at": START, "station": str(station), "kind": 2, "value": 1.5, "note": '{"by": ":hand"}'},
    ]


async def test_columns_left_out_take_their_defaults(store: AsyncTimescale) -> None:
    await store.append("lab.Readings", [{"at": START, "station": UUID(int=1), "kind": 1}])
    assert (await stored(store, "lab.Readings"))[0]["note"] == "{}"


async def test_history_makes_its_own_chunks(store: AsyncTimescale) -> None:
    days = [0, 400, 3, 3.5, 0.1]
    await store.append("lab.ticks", [tick(day * 1440) for day in days])
    first = [f"{chunk.range.lower:%Y-%m-%d}" for chunk in await store.chunks("lab.ticks")]
    assert first == ["2014-05-07", "2014-05-10", "2015-06-11"]
    assert len(await stored(store)) == 5


@pytest.mark.one_backend
async def test_years_as_chunks(store: AsyncTimescale) -> None:
    moments = [datetime(2013, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)]
    await store.append("lab.Readings", [{"at": at, "station": UUID(int=1), "kind": 1} for at in reversed(moments)])
    chunks = await store.chunks("lab.Readings")
    assert [chunk.range.lower.year for chunk in chunks] == [2013, 2014]
    assert [chunk.range.upper.year for chunk in chunks] == [2014, 2015]


async def test_nothing_to_append(store: AsyncTimescale) -> None:
    assert (await store.append("lab.ticks", [])).rows == 0


async def test_a_bad_row_keeps_all_of_them_out(store: AsyncTimescale) -> None:
    with pytest.raises(CheckError) as caught:
        await store.append("lab.ticks", [tick(0), tick(1, price=-1)])
    assert caught.value.constraint == "check_price_positive"
    with pytest.raises(ValueFitError) as misfit:
        await store.append("lab.ticks", [tick(0), tick(1, price=Decimal("0.1234567"))])
    assert (misfit.value.row, misfit.value.column) == (1, "price")
    with pytest.raises(NaiveTimeError):
        await store.append("lab.ticks", [{**tick(), "time": datetime(2014, 5, 7)}])  # noqa: DTZ001  # that is the point
    with pytest.raises(ColumnError):
        await store.append("lab.ticks", [{"time": START, "symbol": "A", "price": 1}])
    assert await stored(store) == []


async def test_rounding_is_allowed_by_name_and_counted(store: AsyncTimescale) -> None:
    rows = [tick(0, price=Decimal("1.0000005")), tick(1, price=Decimal("1.0000015")), tick(2, price=1)]
    done = await store.append("lab.ticks", rows, round_to={"price": 6})
    assert done.rounded == {"price": 2}
    assert [row["price"] for row in await stored(store)] == [Decimal(text) for text in ("1.000000", "1.000002", "1")]


@pytest.mark.one_backend
async def test_a_row_that_is_there_already_is_named(store: AsyncTimescale) -> None:
    await store.append("lab.ticks", [tick(1)])
    with pytest.raises(UniqueError) as caught:
        await store.append("lab.ticks", [tick(0), tick(1)])
    assert "AAPL" in caught.value.cause
    assert "2014-05-07 10:01:00" in caught.value.cause
    assert len(await stored(store)) == 1


@pytest.mark.partitions
async def test_where_copy_is_not_safe_rows_go_in_by_a_temporary_table(
    series_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on TimescaleDB before 2.15."""
    assert isinstance(engine, PartitionsEngine)
    monkeypatch.setattr(append_async, "_MERGED_AT_ONCE", 2)  # some chunks at a time
    monkeypatch.setattr(append_async, "copy_into", None)
    async with opened(series_url, replace(engine, copies_late=False)) as store:
        rows = [tick(minute) for minute in (1, 2, 3, 2000, 4000)]
        assert (await store.append("lab.ticks", rows)).inserted == 5
        with pytest.raises(UniqueError, match=r"AAPL.*2014-05-07 10:01:00"):
            await store.append("lab.ticks", [tick(8000), tick(1)])
        assert [row["time"] for row in await stored(store)] == [row["time"] for row in rows]


@pytest.mark.one_backend
async def test_skip_keeps_what_is_there_and_the_first_of_the_call(store: AsyncTimescale) -> None:
    await store.append("lab.ticks", [tick(1, price=1)])
    done = await store.append("lab.ticks", [tick(0, price=5), tick(1, price=2), tick(0, price=6)], on_conflict="skip")
    assert (done.rows, done.inserted, done.updated, done.skipped) == (3, 1, 0, 2)
    assert [row["price"] for row in await stored(store)] == [5, 1]


@pytest.mark.one_backend
async def test_update_takes_the_last_of_the_call(store: AsyncTimescale) -> None:
    await store.append("lab.ticks", [tick(1, price=1), tick(2, price=1), tick(2000, price=1)])
    rows = [tick(0, price=5), tick(1, price=2), tick(0, price=6), tick(2, price=1), tick(2000, price=7)]
    done = await store.upsert("lab.ticks", rows)
    assert (done.rows, done.inserted, done.updated, done.skipped) == (5, 1, 2, 2)
    assert [row["price"] for row in await stored(store)] == [6, 2, 1, 7]


async def test_update_leaves_columns_that_are_not_given(store: AsyncTimescale) -> None:
    await store.append("lab.ticks", [tick(bid=9)])
    await store.upsert("lab.ticks", [tick(price=7)])
    assert [(row["price"], row["bid"]) for row in await stored(store)] == [(7, 9)]


async def test_conflicts_need_a_natural_key(store: AsyncTimescale) -> None:
    with pytest.raises(InputError, match="natural key"):
        await store.upsert("lab.late", [{"time": START, "sensor": "a", "value": 1, "weight": 1}])


async def test_arrow_and_order(store: AsyncTimescale) -> None:
    times = [START + timedelta(minutes=minute) for minute in (5000, 1, 9000, 2, 5001)]
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "symbol": ["A"] * 5,
            "price": pa.array([1.5, 2.5, 3.5, 4.5, 5.5]),
            "volume": pa.array([1, 1, 1, 1, 1]),
        }
    )
    await store.append("lab.ticks", table)
    assert [row["price"] for row in await stored(store)] == [2.5, 4.5, 1.5, 5.5, 3.5]


async def test_pieces_of_one_transaction(store: AsyncTimescale) -> None:
    with pytest.raises(CheckError):
        async with store.appending("lab.ticks") as rows:
            await rows.write([tick(0)])
            await rows.write([tick(5000)])
            await rows.write([tick(1, price=-1)])
    assert await stored(store) == []
    async with store.appending("lab.ticks", on_conflict="update") as rows:
        await rows.write([tick(0, price=1), tick(1, price=1)])
        await rows.write([tick(1, price=2), tick(9000, price=3)])
        assert (rows.inserted, rows.updated, rows.skipped) == (3, 1, 0)
    assert [row["price"] for row in await stored(store)] == [1, 2, 3]


async def test_a_chunk_that_went_away_is_made_again(
    store: AsyncTimescale, psql: psycopg.Connection[tuple[object, ...]]
) -> None:
    await store.append("lab.ticks", [tick(0)])
    gone = await chunk_at(store, "lab.ticks", START)
    psql.execute(f"DROP TABLE {gone.label}".encode())
    await store.append("lab.ticks", [tick(1)])
    assert len(await stored(store)) == 1


@pytest.mark.one_backend
async def test_rows_below_the_watermark_are_refused_by_name(store: AsyncTimescale) -> None:
    await store.append("lab.ticks", [tick(0), tick(100 * 1440)])
    await store.drop_chunks("lab.ticks", as_of=START + timedelta(days=60))
    for on_conflict in ("error", "skip", "update"):
        with pytest.raises(BelowWatermarkError):
            await store.append("lab.ticks", [tick(1), tick(101 * 1440)], on_conflict=on_conflict)
    assert [chunk.range.lower for chunk in await store.chunks("lab.ticks")] == [moment("2014-08-15 00:00")]


async def test_late_rows_that_are_kept_are_counted(
    store: AsyncTimescale, psql: psycopg.Connection[tuple[object, ...]]
) -> None:
    rows = [{"time": START + timedelta(hours=hour), "sensor": "a", "value": 1, "weight": 1} for hour in range(48)]
    assert (await store.append("lab.late", rows)).late == 0
    mark = START + timedelta(hours=24)
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = %s WHERE dataset = 'lab.late'", (mark,))
    assert (await store.append("lab.late", rows)).late == 24
    async with store.appending("lab.late") as appending:
        assert (await appending.write(rows[20:30])).late == 4
