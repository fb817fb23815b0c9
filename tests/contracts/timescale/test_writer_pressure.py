"""The buffered writer, when the store is slower than the ticks come."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pyarrow as pa
import pytest

from storekeeper.errors import InputError, UnwrittenRowsError
from storekeeper.timescale.engine import Engine
from timescale_series import moment
from timescale_stores_async import opened


async def test_add_waits_while_the_buffer_is_full(series_url: str, engine: Engine) -> None:
    going_on = asyncio.Event()

    async def slow(_: pa.Table) -> None:
        await going_on.wait()

    async with (
        opened(series_url, engine) as store,
        store.writer("lab.ticks", size=2, capacity=4, seconds=60, on_written=slow) as ticks,
    ):
        rows = [
            {"time": moment("2014-05-07 10:00") + timedelta(minutes=minute), "symbol": "A", "price": 1, "volume": 1}
            for minute in range(8)
        ]
        await ticks.add(*rows[:2])
        while ticks.written.rows < 2:
            await asyncio.sleep(0.01)
        for row in rows[2:6]:
            await ticks.add(row)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ticks.add(rows[6]), 0.2)
        assert ticks.written.rows == 2
        going_on.set()
        await ticks.add(rows[7])
        assert (await ticks.flush()).rows == 7  # the add that was given up took nothing


async def test_nobody_waits_for_a_writer_that_was_cancelled(series_url: str, engine: Engine) -> None:
    """As a framework does that ends all tasks."""
    rows = [
        {"time": moment("2014-05-07 10:00") + timedelta(minutes=minute), "symbol": "A", "price": 1, "volume": 1}
        for minute in range(3)
    ]
    async with opened(series_url, engine) as store, asyncio.timeout(30):
        with pytest.raises(UnwrittenRowsError) as caught:
            async with store.writer("lab.ticks", size=2, capacity=2, seconds=60) as ticks:
                await ticks.add(rows[0])
                (background,) = [task for task in asyncio.all_tasks() if task.get_name() == "storekeeper-writer"]
                adding = asyncio.create_task(ticks.flush())
                background.cancel()
                with pytest.raises(InputError, match="closed"):
                    await adding
                with pytest.raises(InputError, match="closed"):
                    await ticks.add(*rows[1:])
                with pytest.raises(InputError, match="closed"):
                    await ticks.flush()
        assert caught.value.rows == (rows[0],)


async def test_who_gives_up_the_end_of_a_writer_ends_it(series_url: str, engine: Engine) -> None:
    never = asyncio.Event()

    async def slow(_: pa.Table) -> None:
        await never.wait()

    async with opened(series_url, engine) as store:
        ticks = store.writer("lab.ticks", seconds=60, on_written=slow)
        await ticks.__aenter__()
        await ticks.add({"time": moment("2014-05-07 10:00"), "symbol": "A", "price": 1, "volume": 1})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ticks.close()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "storekeeper-writer"]
