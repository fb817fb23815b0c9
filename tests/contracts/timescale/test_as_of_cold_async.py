"""One series as of another, across the boundary of what was archived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cold_series import AS_OF, CATALOG, START, ticks, tier
from storekeeper.span import hours
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from timescale_stores_async import opened


@pytest.fixture
async def store(series_url: str, engine: Engine, tmp_path: Path) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine, CATALOG, archive=tier(tmp_path)) as store:
        await store.append("lab.ticks", ticks(6))
        yield store


async def test_archived_rows_are_joined_as_they_were(store: AsyncTimescale) -> None:
    day = timedelta(days=1)
    questions: list[dict[str, Any]] = [
        {"start": START + day, "end": START + 5 * day},
        {"start": START + day, "end": START + 5 * day, "strict": True, "tolerance": hours(3), "exact": True},
        {"start": START + 4 * day, "end": START + 5 * day, "strict": True, "tolerance": hours(3)},
        {"keys": ["B", "none"], "end": START + 2 * day, "right_columns": ["price"]},
    ]
    before = [await store.as_of("lab.ticks", "lab.ticks", **question) for question in questions]
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert await store.watermark("lab.ticks") is not None
    for question, wanted in zip(questions, before, strict=True):
        found = await store.as_of("lab.ticks", "lab.ticks", **question)
        assert found.num_rows
        assert found.to_pylist() == wanted.to_pylist()
    assert before[2].column("price_right").null_count == 0, "what stood before the range is in the archive"
