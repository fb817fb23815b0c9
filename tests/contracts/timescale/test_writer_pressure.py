"""The buffered writer, when the store is slower than the ticks come."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pyarrow as pa
import pytest

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
