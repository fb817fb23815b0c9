"""The cold tier when something else changes: the place, the declaration, the rows that are being archived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from cold_series import AS_OF, CATALOG, COLD_KEPT, KEPT_CATALOG, START, tick, ticks, tier
from storekeeper.catalog import Catalog, Domain, Hypertable, Rollup, ohlcv
from storekeeper.errors import ArchiveError, ConflictError, NotVerifiedError
from storekeeper.span import days
from storekeeper.stores.cold.place import Directory
from storekeeper.stores.cold.tier import ColdTier
from storekeeper.stores.timescale.cold import kinds_of
from storekeeper.stores.timescale.timescale_async import AsyncTimescale
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level
from timescale_series import TICKS, run
from timescale_stores_async import opened

Psql = psycopg.Connection[tuple[object, ...]]

ROWS = ticks(8)


@pytest.fixture
async def store(series_url: str, engine: Engine, tmp_path: Path) -> AsyncIterator[AsyncTimescale]:
    async with opened(series_url, engine, CATALOG, archive=tier(tmp_path)) as store:
        yield store


@pytest.fixture
async def keeping(series_url: str, engine: Engine, tmp_path: Path, psql: Psql) -> AsyncIterator[AsyncTimescale]:
    """Late rows of ticks are kept, and nothing is rolled up."""
    psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep', rolled_up = false WHERE dataset = 'lab.ticks'")
    async with opened(series_url, engine, KEPT_CATALOG, archive=tier(tmp_path)) as store:
        yield store


async def test_files_that_others_replace_stay_for_as_long_as_somebody_reads(
    keeping: AsyncTimescale, psql: Psql, tmp_path: Path
) -> None:
    await keeping.append("lab.ticks", ROWS)
    (chunk, *_) = await keeping.chunks("lab.ticks")
    level, archiving = Level(COLD_KEPT, 0), keeping._archiving
    await archiving.begin(level, None, None)
    await archiving.keep(level, chunk)
    (first,) = _files(tmp_path, "*.parquet")
    await keeping.upsert("lab.ticks", [tick(START, "late", 7)])
    with psql.transaction():
        psql.execute("SELECT FROM lab.ticks LIMIT 1")
        await archiving.keep(level, chunk)
        assert first in _files(tmp_path, "*.parquet")
    (part,) = await keeping.archived_parts("lab.ticks")
    assert part.rows == 49
    await archiving.keep(level, chunk)
    (second,) = _files(tmp_path, "*.parquet")
    assert second != first


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return [path for path in folder.rglob(pattern) if path.is_file()]


class Unsealed(ColdTier):
    """One that finds, at the end of a part, that it is not what was written; or that another process has it."""

    error: Exception

    def seal_part(self, **_: Any) -> str:
        raise self.error


@pytest.mark.parametrize("error", [NotVerifiedError("not verified"), ConflictError("busy")])
async def test_what_was_not_verified_leaves_no_files(
    series_url: str, engine: Engine, tmp_path: Path, error: Exception
) -> None:
    cold = Unsealed(Directory(tmp_path / "archive"))
    cold.error = error
    async with opened(series_url, engine, CATALOG, archive=cold) as store:
        await store.append("lab.ticks", ROWS)
        with pytest.raises(type(error)):
            await store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert not _files(tmp_path)
        assert (await store.raw("lab.ticks")).num_rows == len(ROWS)


async def test_nothing_is_dropped_where_nothing_is_of_what_was_archived(
    store: AsyncTimescale, series_url: str, engine: Engine, tmp_path: Path
) -> None:
    """As before a disk is mounted there."""
    await store.append("lab.ticks", ROWS)
    await store.drop_chunks("lab.ticks", as_of=AS_OF - timedelta(days=1))
    archive = tmp_path / "archive"
    archive.rename(tmp_path / "away")
    for there in (False, True):
        if there:
            archive.mkdir()
        with pytest.raises(ArchiveError, match="mounted"):
            await store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert not archive.exists() or not list(archive.iterdir())
    assert len(await store.chunks("lab.ticks")) == 5
    archive.rmdir()
    (tmp_path / "away").rename(archive)
    await store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert (await store.raw("lab.ticks")).num_rows == len(ROWS)


def _changed(table: sa.Table) -> sa.Table:
    """A table some releases later."""
    changed = sa.Table(
        table.name,
        sa.MetaData(schema=table.schema),
        *(
            sa.Column(column.name, sa.Numeric(20, 8) if column.name == "bid" else column.type, nullable=column.nullable)
            for column in table.columns
            if column.name != "ask"
        ),
        sa.Column("venue", sa.Text),
        sa.Column("lot", sa.Integer, nullable=False, server_default=sa.text("5")),
    )
    sa.Index("idx_ticks_symbol_time", changed.c.symbol, changed.c.time.desc(), unique=True)
    return changed


async def test_columns_that_were_declared_since(
    keeping: AsyncTimescale, psql: Psql, series_url: str, engine: Engine, tmp_path: Path
) -> None:
    await keeping.append("lab.ticks", ROWS)
    await keeping.drop_chunks("lab.ticks", as_of=AS_OF)
    before = await keeping.raw("lab.ticks", exact=True)
    kinds = kinds_of(Level(COLD_KEPT, 0))
    for file in _files(tmp_path, "*.parquet"):
        assert {field.name: field.type for field in pq.read_schema(file)} == kinds
    psql.execute("ALTER TABLE lab.ticks ADD COLUMN venue text, ADD COLUMN lot int NOT NULL DEFAULT 5, DROP COLUMN ask")
    with suppress(psycopg.errors.FeatureNotSupported):  # of hypertables with a columnstore, before 2.25
        psql.execute("ALTER TABLE lab.ticks ALTER COLUMN bid TYPE numeric(20, 8)")
    declared = replace(COLD_KEPT, table=_changed(COLD_KEPT.table))
    catalog = Catalog((Domain("lab", hypertables=(declared,)),))
    end = START + timedelta(days=1)
    async with opened(series_url, engine, catalog, archive=tier(tmp_path)) as store:
        after = await store.raw("lab.ticks", exact=True)
        same = ["time", "symbol", "price", "volume"]
        assert after.select(same).equals(before.select(same))
        assert after.column("bid").to_pylist() == before.column("bid").to_pylist()
        cold = await store.raw("lab.ticks", columns=["venue", "lot"], start=START, end=end)
        assert cold.to_pylist() == [{"venue": None, "lot": None}] * 48
        for column, value, count in (("venue", "x", 0), ("lot", 5, 0), ("bid", 1.5, 18), ("symbol", "A", 16)):
            found = await store.raw("lab.ticks", where={column: [value]}, start=START, end=end)
            assert found.num_rows == count, column
        late = {**tick(START, "A", 7), "venue": "x"}
        await store.upsert("lab.ticks", [late])
        for _ in range(2):  # beside what is archived, and archived too
            found = await store.raw("lab.ticks", where={"venue": ["x"]}, start=START, end=end)
            assert [(row["price"], row["lot"]) for row in found.to_pylist()] == [(7, 5)]
            await store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert (await store.raw("lab.ticks")).num_rows == len(ROWS)


async def test_a_column_that_is_declared_narrower_than_it_was(
    keeping: AsyncTimescale, series_url: str, engine: Engine, tmp_path: Path
) -> None:
    await keeping.append("lab.ticks", ROWS)
    await keeping.drop_chunks("lab.ticks", as_of=AS_OF)
    table = _changed(COLD_KEPT.table)
    table.c.price.type = sa.Numeric(4, 2)
    catalog = Catalog((Domain("lab", hypertables=(replace(COLD_KEPT, table=table),)),))
    async with opened(series_url, engine, catalog, archive=tier(tmp_path)) as store:
        with pytest.raises(ArchiveError, match=r"price was kept as decimal128\(18, 6\)"):
            await store.raw("lab.ticks", end=START + timedelta(days=1))


class Unmounted(ColdTier):
    """One whose disk goes once a part is whole."""

    folder: Path

    def seal_part(self, **given: Any) -> str:
        sealed = super().seal_part(**given)
        (self.folder / "archive").rename(self.folder / "away")
        return sealed


async def test_a_run_ends_where_the_disk_goes(series_url: str, engine: Engine, tmp_path: Path) -> None:
    cold = Unmounted(Directory(tmp_path / "archive"))
    cold.folder = tmp_path
    async with opened(series_url, engine, CATALOG, archive=cold) as store:
        await store.append("lab.ticks", ROWS)
        with pytest.raises(ArchiveError, match="mounted"):
            await store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert len(await store.chunks("lab.ticks")) == 7
        (tmp_path / "away").rename(tmp_path / "archive")
        assert (await store.raw("lab.ticks")).num_rows == len(ROWS)


@pytest.mark.parametrize("stay", [0, 1])
async def test_bars_of_a_rollup_that_is_made_when_rows_are_gone(
    series_url: str, engine: Engine, tmp_path: Path, psql: Psql, stay: int
) -> None:
    """Made of the rows, it lacks what is archived, and half a week; made of another rollup, what is not refreshed."""
    weeks = Rollup("ticks_weekly", every=days(7), by=("symbol",), measures=ohlcv("price", "volume"))
    before = replace(TICKS, archive=True, rollups=TICKS.rollups[:stay])
    after = replace(before, rollups=(*before.rollups, weeks))
    for rollup in reversed(TICKS.rollups[stay:]):
        run(psql, engine.drop_rollup(TICKS, rollup))

    async def bars(store: AsyncTimescale) -> list[dict[str, object]]:
        end = START + timedelta(days=14)
        found = await store.bars("lab.ticks", every=days(7), measures=weeks.measures, start=START, end=end, exact=True)
        rows: list[dict[str, object]] = found.to_pylist()
        return rows

    async with opened(series_url, engine, _only(before), archive=tier(tmp_path)) as store:
        await store.append("lab.ticks", ticks(15))
        expected = await bars(store)
        await store.drop_chunks("lab.ticks", as_of=AS_OF + timedelta(days=3))
        assert await store.watermark("lab.ticks") == START + timedelta(days=7)  # a Thursday
    with psql.transaction():
        run(psql, engine.create_rollup(after, weeks))
    async with opened(series_url, engine, _only(after), archive=tier(tmp_path)) as store:
        assert await bars(store) == expected
        for _ in range(2):
            await store.refresh("lab.ticks", as_of=AS_OF)
            assert await bars(store) == expected
            psql.execute("UPDATE lab.ticks SET bid = 1 WHERE time = %s", (START + timedelta(days=8),))
            assert await bars(store) == expected
        await store.drop_chunks("lab.ticks", as_of=AS_OF + timedelta(days=8))
        assert await store.watermark("lab.ticks") == START + timedelta(days=11)  # a Monday
        assert await bars(store) == expected


def _only(hypertable: Hypertable) -> Catalog:
    return Catalog((Domain("lab", hypertables=(hypertable,)),))
