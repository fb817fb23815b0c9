# Generated from test_cold_newest_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The newest row of a key that lies in the archive: asked for by itself, carried into bars, and joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from cold_series import AS_OF, CATALOG, KEPT_CATALOG, ROLLED_UP, START, tick, ticks, tier
from storekeeper.catalog import Catalog, Domain, ohlcv
from storekeeper.errors import ArchiveError, InputError
from storekeeper.span import days, hours, minutes, years
from storekeeper.stores.cold.tier import ColdTier
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import READINGS, TICKS
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

DAY = timedelta(days=1)
#: GONE has rows on the first day alone, which is archived; so is what A, B and é have of four days.
ROWS = [*ticks(8), *(tick(START + timedelta(hours=hour), "GONE", hour + 1) for hour in range(3))]
#: A key of two columns, of a UUID and a small integer.
STATIONS = Catalog((Domain("lab", hypertables=(replace(READINGS, archive=True, drop_after=years(1)),)),))


class CountingTier(ColdTier):
    """Says which files were read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(tier(folder)._place)
        self.paths: list[str] = []

    def read(self, file: Any, **how: Any) -> Any:
        self.paths.append(file.path)
        return super().read(file, **how)


@pytest.fixture
def archive(tmp_path: Path) -> CountingTier:
    return CountingTier(tmp_path)


@pytest.fixture
def store(series_url: str, engine: Engine, archive: CountingTier) -> Iterator[Timescale]:
    with opened(series_url, engine, CATALOG, archive=archive) as store:
        store.append("lab.ticks", ROWS)
        yield store


@pytest.fixture
def keeping(series_url: str, engine: Engine, archive: CountingTier, psql: Psql) -> Iterator[Timescale]:
    """Late rows of ticks are kept, and nothing is rolled up."""
    psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep', rolled_up = false WHERE dataset = 'lab.ticks'")
    with opened(series_url, engine, KEPT_CATALOG, archive=archive) as store:
        store.append("lab.ticks", ROWS)
        yield store


def test_the_newest_row_is_found_wherever_it_is(store: Timescale) -> None:
    questions: list[dict[str, Any]] = [
        {},
        {"keys": ["GONE"]},
        {"keys": ["é", "GONE", "none", "A"], "exact": True},
        {"keys": ["B", "GONE"], "zone": "Asia/Tokyo"},
        {"keys": []},
        {"keys": ["none"]},
    ]
    before = [store.latest("lab.ticks", **question) for question in questions]
    assert before[0].column("symbol").to_pylist() == ["A", "B", "GONE", "é"]
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    for wrong in ("A", [("A", "B")], [()]):
        with pytest.raises(InputError):
            store.latest("lab.ticks", wrong)
    for _ in ("read from files", "known"):
        for question, expected in zip(questions, before, strict=True):
            found = store.latest("lab.ticks", **question)
            assert found.schema == expected.schema
            assert found.equals(expected), question


def test_no_file_is_read_for_keys_that_the_store_has(
    store: Timescale, archive: CountingTier, series_url: str, engine: Engine
) -> None:
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    with opened(series_url, engine, CATALOG) as without:  # it knows no place: a look into the ledger would say so
        assert (without.latest("lab.ticks", ["A", "é", "A"])).num_rows == 2
        with pytest.raises(ArchiveError, match="no place"):
            without.latest("lab.ticks", ["A", "GONE"])
    archive.paths.clear()
    store.latest("lab.ticks", ["A", "B"])
    assert not archive.paths
    assert (store.latest("lab.ticks", ["GONE"])).num_rows == 1
    assert len(archive.paths) == 4, "backward to the first day"
    store.latest("lab.ticks", ["none", "GONE"])
    store.latest("lab.ticks")
    assert len(archive.paths) == 4, "each file once"
    store.drop_chunks("lab.ticks", as_of=AS_OF + 2 * DAY)
    archive.paths.clear()
    assert (store.latest("lab.ticks")).num_rows == 4
    assert len(archive.paths) == 2, "what has come since"


def test_where_nothing_is_archived_it_is_one_statement(store: Timescale, psql: Psql) -> None:
    psql.execute("DROP TABLE storekeeper.archived_files")  # whoever looked for files would fail
    for keys in (["none"], None, ["A", "none"], []):
        store.latest("lab.ticks", keys)
    assert (store.latest("lab.ticks", ["A"])).num_rows == 1


def test_a_late_row_is_the_newest_only_where_it_is(keeping: Timescale) -> None:
    keeping.drop_chunks("lab.ticks", as_of=AS_OF)
    keeping.append("lab.ticks", [tick(START + timedelta(minutes=30), "GONE", 77), tick(START, "LATE", 5)])
    for _ in ("in the store", "in the archive"):
        found = (keeping.latest("lab.ticks", ["GONE", "LATE"])).to_pylist()
        assert [(row["time"] - START, row["price"]) for row in found] == [(timedelta(hours=2), 3), (timedelta(0), 5)]
        keeping.drop_chunks("lab.ticks", as_of=AS_OF)
    keeping.upsert("lab.ticks", [tick(START + timedelta(hours=2), "GONE", 99)])
    for _ in ("in the store", "in the archive"):
        for keys in (["GONE"], None):
            (row,) = [r for r in (keeping.latest("lab.ticks", keys)).to_pylist() if r["symbol"] == "GONE"]
            assert row["price"] == 99, "of one time the row that came later counts"
        keeping.drop_chunks("lab.ticks", as_of=AS_OF)


def test_a_late_row_is_carried_and_joined_too(keeping: Timescale) -> None:
    """Of one time and key it counts before the file's row."""
    keeping.append("lab.ticks", [tick(START + 6 * DAY, "GONE", 7)])
    keeping.drop_chunks("lab.ticks", as_of=AS_OF)
    asked: dict[str, Any] = {"every": hours(1), "gaps": "last", "measures": ohlcv("price", "volume"), "keys": ["GONE"]}
    for late, price in ((timedelta(hours=2), 99), (timedelta(hours=3), 98)):
        keeping.upsert("lab.ticks", [tick(START + late, "GONE", price)])
        for _ in ("in the store", "in the archive"):
            bars = keeping.bars("lab.ticks", start=START + DAY, end=START + 2 * DAY, **asked)
            assert bars.column("close").to_pylist() == [price] * 24
            joined = keeping.as_of("lab.ticks", "lab.ticks", ["GONE"], start=START + 5 * DAY, strict=True)
            assert joined.column("price_right").to_pylist() == [price]
            keeping.drop_chunks("lab.ticks", as_of=AS_OF)


@pytest.mark.parametrize("catalog", [CATALOG, ROLLED_UP], ids=["rows", "rolled up"])
def test_what_was_before_a_range_is_carried_into_it_from_the_archive(
    series_url: str, engine: Engine, archive: CountingTier, catalog: Catalog
) -> None:
    """Above the watermark and below it."""
    questions: list[dict[str, Any]] = [
        {"keys": ["GONE", "A"], "start": START + 5 * DAY, "end": START + 5 * DAY + timedelta(hours=2)},
        {"keys": ["GONE"], "start": START + timedelta(hours=1, minutes=7), "end": START + timedelta(hours=2)},
        {"keys": ["GONE"], "start": START + timedelta(hours=4), "end": START + 2 * DAY, "every": hours(1)},
        {"keys": ["GONE", "none"], "start": START + 6 * DAY, "end": START + 7 * DAY, "look_back": days(3)},
        {"start": START + 3 * DAY, "end": START + 5 * DAY, "every": hours(7), "exact": True},
    ]
    how: dict[str, Any] = {"every": minutes(1), "gaps": "last", "measures": ohlcv("price", "volume")}
    with opened(series_url, engine, catalog, archive=archive) as store:
        store.append("lab.ticks", ROWS)
        before = [store.bars("lab.ticks", **(how | question)) for question in questions]
        assert [row["close"] for row in before[0].to_pylist() if row["symbol"] == "GONE"] == [3.0] * 120
        store.drop_chunks("lab.ticks", as_of=AS_OF)
        for question, expected in zip(questions, before, strict=True):
            assert (store.bars("lab.ticks", **(how | question))).equals(expected), question


def test_bars_with_an_open_start_begin_where_the_archive_does(
    series_url: str, engine: Engine, archive: CountingTier
) -> None:
    measures = ohlcv("price", "volume")
    questions: list[dict[str, Any]] = [
        {"every": minutes(1)},
        {"every": hours(7), "end": START + 5 * DAY},
        {"every": days(1), "zone": "America/New_York", "keys": ["GONE", "A"]},
        {"every": minutes(5), "end": START + DAY, "gaps": "last"},
        {"every": minutes(1), "start": START + 3 * DAY},
    ]
    with opened(series_url, engine, CATALOG, archive=archive) as store:
        store.append("lab.ticks", ROWS)
        before = [store.bars("lab.ticks", measures=measures, **question) for question in questions]
        for as_of in (AS_OF, AS_OF + 10 * DAY):
            store.drop_chunks("lab.ticks", as_of=as_of)
            for question, expected in zip(questions, before, strict=True):
                assert (store.bars("lab.ticks", measures=measures, **question)).equals(expected), question
        assert not store.chunks("lab.ticks")
        assert (store.bars("lab.late", measures=ohlcv("value", "weight"), every=days(1))).num_rows == 0
    with opened(series_url, engine, CATALOG) as without:
        with pytest.raises(ArchiveError, match="no place"):
            without.bars("lab.ticks", every=days(1), measures=measures)


def test_an_open_start_leaves_out_what_was_not_archived(series_url: str, engine: Engine, archive: CountingTier) -> None:
    measures = ohlcv("price", "volume")
    forgetful = Catalog((Domain("lab", hypertables=(replace(TICKS, rollups=()),)),))
    with opened(series_url, engine, CATALOG, archive=archive) as store:
        store.append("lab.ticks", ROWS)
        with opened(series_url, engine, forgetful) as other:
            other.drop_chunks("lab.ticks", as_of=AS_OF - 2 * DAY)
        store.drop_chunks("lab.ticks", as_of=AS_OF)
        found = store.bars("lab.ticks", every=hours(7), measures=measures)
        assert found.column("bucket")[0].as_py() == hours(7).ceil(START + 2 * DAY)
        assert store.complete_from("lab.ticks") == START + 2 * DAY


def test_a_row_is_joined_with_what_stood_before_in_the_archive(keeping: Timescale) -> None:
    keeping.append("lab.ticks", [tick(START + 6 * DAY, "GONE", 7)])
    start = START + 5 * DAY
    questions: list[dict[str, Any]] = [
        {"start": start, "strict": True},
        {"start": start, "strict": True, "keys": ["GONE", "none"]},
        {"start": start, "strict": True, "tolerance": days(5)},
        {"start": start, "strict": True, "tolerance": days(6), "exact": True, "right_columns": ["price"]},
    ]
    before = [keeping.as_of("lab.ticks", "lab.ticks", **question) for question in questions]
    assert before[1].column("price_right").to_pylist() == [3.0]
    assert before[2].column("price_right").null_count == 1
    keeping.drop_chunks("lab.ticks", as_of=AS_OF)
    for question, expected in zip(questions, before, strict=True):
        assert (keeping.as_of("lab.ticks", "lab.ticks", **question)).equals(expected), question
    keeping.append("lab.ticks", [tick(START, "GONE", 50)])  # older than what is archived
    assert (keeping.as_of("lab.ticks", "lab.ticks", **questions[1])).column("price_right").to_pylist() == [3.0]


def test_keys_of_several_columns_are_compared_by_value(series_url: str, engine: Engine, archive: CountingTier) -> None:
    one, two = UUID(int=171), UUID(int=205)
    rows = [
        {"at": START + timedelta(hours=hour), "station": station, "kind": kind, "value": hour / 8}
        for hour in range(4)
        for station in (one, two)
        for kind in (1, 2)
    ]
    pairs: list[tuple[object, object]] = [(str(one).upper(), 2), (two, "1"), (two, 70_000), (one, None)]
    with opened(series_url, engine, STATIONS, archive=archive) as store:
        store.append("lab.Readings", rows)
        joined = store.as_of("lab.Readings", "lab.Readings", pairs, strict=True)
        latest = store.latest("lab.Readings", pairs)
        assert joined.num_rows == 8
        assert latest.num_rows == 2
        store.drop_chunks("lab.Readings", as_of=START + 800 * DAY)
        assert not store.chunks("lab.Readings")
        assert (store.as_of("lab.Readings", "lab.Readings", pairs, strict=True)).equals(joined)
        assert (store.latest("lab.Readings", pairs)).equals(latest)
        assert (store.latest("lab.Readings")).num_rows == 4
