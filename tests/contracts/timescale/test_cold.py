# Generated from test_cold_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The cold tier: what retention drops goes to Parquet first, and is read from there by the same call."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from cold_series import AS_OF, CATALOG, KEPT_CATALOG, ROLLED_UP, START, key, tick, ticks, tier
from s3_servers import served
from storekeeper.catalog import Catalog, Domain, Range
from storekeeper.errors import ArchiveError, BelowWatermarkError, ConflictError, DamagedArchiveError
from storekeeper.span import days, hours, minutes
from storekeeper.stores.cold.place import Bucket
from storekeeper.stores.cold.tier import ColdTier
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import TICKS
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

ROWS = ticks(8)


@pytest.fixture
def store(series_url: str, engine: Engine, tmp_path: Path) -> Iterator[Timescale]:
    with opened(series_url, engine, CATALOG, archive=tier(tmp_path)) as store:
        yield store


@pytest.fixture
def rolled_up(series_url: str, engine: Engine, tmp_path: Path) -> Iterator[Timescale]:
    with opened(series_url, engine, ROLLED_UP, archive=tier(tmp_path)) as store:
        yield store


@pytest.fixture
def keeping(series_url: str, engine: Engine, tmp_path: Path, psql: Psql) -> Iterator[Timescale]:
    """Late rows of ticks are kept, and nothing is rolled up."""
    psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep', rolled_up = false WHERE dataset = 'lab.ticks'")
    with opened(series_url, engine, KEPT_CATALOG, archive=tier(tmp_path)) as store:
        yield store


def test_what_is_dropped_is_read_by_the_same_calls(store: Timescale, tmp_path: Path) -> None:
    store.append("lab.ticks", ROWS)
    before = {exact: store.raw("lab.ticks", exact=exact, zone="Europe/Berlin") for exact in (False, True)}
    (dropped, *_) = store.drop_chunks("lab.ticks", as_of=AS_OF)
    for part in (parts := store.archived_parts("lab.ticks")):
        store.verify_archived(part)
    assert [part.rows for part in parts] == [48] * 4
    assert all(part.dropped_at for part in parts)
    assert len(dropped.chunks) == len(dropped.archived) == 4
    assert sum(one.rows for one in dropped.archived) == 4 * 16 * 3
    assert store.watermark("lab.ticks") == START + timedelta(days=4)
    (held,) = store.archived("lab.ticks")
    assert (held.lower, held.upper) == (START, START + timedelta(days=4))
    for exact, table in before.items():
        after = store.raw("lab.ticks", exact=exact, zone="Europe/Berlin")
        assert after.schema == table.schema
        assert after.equals(table)
        newest = store.raw("lab.ticks", exact=exact, zone="Europe/Berlin", newest_first=True)
        assert newest.to_pylist() == table.to_pylist()[::-1]
    exact_rows = (store.raw("lab.ticks", exact=True)).to_pylist()
    streamed, longest = [], 0
    for batch in store.stream("lab.ticks", exact=True, batch_rows=100):
        streamed += batch.to_pylist()
        longest = max(longest, batch.num_rows)
    assert streamed == exact_rows
    assert longest <= 100


def test_ranges_conditions_columns_and_limits_reach_into_it(store: Timescale) -> None:
    store.append("lab.ticks", ROWS)
    questions: list[dict[str, object]] = [
        {"start": START + timedelta(hours=5), "end": START + timedelta(days=1, hours=2)},
        {"start": START + timedelta(days=3, hours=23), "end": START + timedelta(days=4, hours=3)},
        {"where": {"symbol": ["B", "none"]}, "columns": ["price"]},
        {"where": {"symbol": ["é"], "price": [100, "101.000001", 99.5, None]}},
        {"where": {"time": [START, START + timedelta(days=20)]}},
        {"limit": 7},
        {"limit": 7, "newest_first": True, "end": START + timedelta(days=4, hours=1)},
        {"limit": 200, "columns": ["volume", "symbol"]},
        {"limit": 0},
        {"end": START},
        {"start": START + timedelta(days=100)},
        {"where": {"symbol": []}},
    ]
    before = [store.raw("lab.ticks", **question) for question in questions]  # type: ignore[arg-type]  # as a caller's
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    for question, expected in zip(questions, before, strict=True):
        found = store.raw("lab.ticks", **question)  # type: ignore[arg-type]  # as a caller's
        assert found.equals(expected), question


def test_files_and_manifests_are_what_they_say(store: Timescale, tmp_path: Path) -> None:
    store.append("lab.ticks", ROWS)
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    root = tmp_path / "archive"
    files = sorted(root.rglob("*.parquet"))
    assert [file.parent.name for file in files] == [f"day=2014-05-0{day}" for day in (1, 2, 3, 4)]
    assert {file.parent.parent.name for file in files} == {"dataset=lab.ticks"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in root.rglob("*") if file.is_file()} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (root, *root.rglob("*")) if folder.is_dir()} == {0o700}
    manifests = sorted(root.rglob("*.json"))
    assert len(manifests) == 4
    document = json.loads(manifests[0].read_text())
    assert document["rows"] == 48
    assert document["files"][0]["earliest"] == "2014-05-01T00:00:00.000000+00:00"
    price = next(column for column in document["columns"] if column["name"] == "price")
    assert price == {
        "name": "price",
        "type": "NUMERIC(18, 6)",
        "arrow": "decimal128(18, 6)",
        "precision": 18,
        "scale": 6,
    }


def test_nothing_goes_where_nothing_can_be_archived(series_url: str, engine: Engine, tmp_path: Path) -> None:
    with opened(series_url, engine, CATALOG) as store:
        store.append("lab.ticks", ROWS)
        with pytest.raises(ArchiveError, match="no place"):
            store.drop_chunks("lab.ticks", as_of=AS_OF)
        with pytest.raises(ArchiveError, match="no place"):
            store.drop_chunks("lab.ticks", as_of=AS_OF, dry_run=True)
        assert store.watermark("lab.ticks") is None
    (tmp_path / "archive").write_text("in the way")
    with opened(series_url, engine, CATALOG, archive=tier(tmp_path)) as store:
        with pytest.raises(ArchiveError):
            store.drop_chunks("lab.ticks", as_of=AS_OF)
        assert store.watermark("lab.ticks") is None
        assert len(store.chunks("lab.ticks")) == 8


def test_a_file_that_was_changed_or_lost_is_told(store: Timescale, tmp_path: Path) -> None:
    store.append("lab.ticks", ROWS)
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    (first, second, *_) = sorted((tmp_path / "archive").rglob("*.parquet"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.unlink()
    for day in (0, 1):
        with pytest.raises(DamagedArchiveError, match="day=2014-05-0"):
            store.raw("lab.ticks", start=START + timedelta(days=day), end=START + timedelta(days=day + 1))
    rest = store.raw("lab.ticks", start=START + timedelta(days=2))
    assert rest.num_rows == len(ROWS) - 2 * 48


def test_without_the_archive_a_read_is_refused_not_short(store: Timescale, series_url: str, engine: Engine) -> None:
    store.append("lab.ticks", ROWS)
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    with opened(series_url, engine, CATALOG) as other:
        with pytest.raises(ArchiveError, match="no place"):
            other.raw("lab.ticks")
        assert (other.raw("lab.ticks", start=START + timedelta(days=4))).num_rows == len(ROWS) - 192


def test_a_dry_run_says_what_would_be_archived(store: Timescale, tmp_path: Path) -> None:
    store.append("lab.ticks", ROWS)
    (foreseen, *_) = store.drop_chunks("lab.ticks", as_of=AS_OF, dry_run=True)
    assert [one.chunk for one in foreseen.archived] == list(foreseen.chunks)
    assert not (tmp_path / "archive").exists()


def test_late_rows_that_are_refused_stay_refused(store: Timescale) -> None:
    store.append("lab.ticks", ROWS)
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    with pytest.raises(BelowWatermarkError):
        store.append("lab.ticks", [tick(START + timedelta(hours=1), "Z", 1)])


def test_late_rows_that_are_kept_are_merged_the_newest_of_a_key_counts(keeping: Timescale) -> None:
    store = keeping
    store.append("lab.ticks", ROWS)
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    expected = {key(row): row for row in ROWS}
    for price in (7, 8):
        # one that was archived, changed; one of a new key
        late = [tick(START, "A", price), tick(START + timedelta(hours=1), f"N{price}", price)]
        store.upsert("lab.ticks", late)
        expected |= {key(row): row for row in late}
        for _ in ("in the store", "in the archive"):
            found = store.raw("lab.ticks", exact=True)
            assert [(r["time"], r["symbol"]) for r in found.to_pylist()] == sorted(expected)
            assert {(r["time"], r["symbol"]): r["price"] for r in found.to_pylist()} == {
                k: row["price"] for k, row in expected.items()
            }
            old = store.raw("lab.ticks", where={"price": [100]}, end=START + timedelta(hours=1), exact=True)
            assert [row["symbol"] for row in old.to_pylist()] == ["B", "é"], "the older row of a key is not there"
            store.drop_chunks("lab.ticks", as_of=AS_OF)


def test_bars_reach_into_it(rolled_up: Timescale) -> None:
    store = rolled_up
    store.append("lab.ticks", ROWS)
    start, end = START + timedelta(hours=5), START + timedelta(days=6)
    widths = [minutes(1), minutes(5), hours(1), days(3), hours(7)]
    questions = [(every, exact, keys) for every in widths for exact in (True, False) for keys in (None, ["A", "é"])]
    before = [store.bars("lab.ticks", k, every=w, start=start, end=end, exact=e) for w, e, k in questions]
    local = store.bars("lab.ticks", every=days(1), start=start, end=end, zone="America/New_York")
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    for (every, exact, keys), expected in zip(questions, before, strict=True):
        found = store.bars("lab.ticks", keys, every=every, start=start, end=end, exact=exact)
        assert found.equals(expected), (every, exact, keys)
    assert (store.bars("lab.ticks", every=days(1), start=start, end=end, zone="America/New_York")).equals(local)
    explained = store.explain("lab.ticks", every=minutes(1), start=start, end=end)
    assert explained.cold == (Range(start, START + timedelta(days=4)),)
    assert "the archive of lab.ticks" in str(explained)


def test_bars_of_what_was_dropped_before_it_was_archived_are_refused(
    rolled_up: Timescale, series_url: str, engine: Engine
) -> None:
    store = rolled_up
    store.append("lab.ticks", ROWS)
    with opened(series_url, engine) as forgetful:  # it declares no archive
        forgetful.drop_chunks("lab.ticks", as_of=AS_OF - timedelta(days=2))
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    with pytest.raises(BelowWatermarkError):
        store.bars("lab.ticks", every=minutes(1), start=START + timedelta(days=1))
    assert (store.bars("lab.ticks", every=minutes(1), start=START + timedelta(days=2))).num_rows == 48 * 6
    with opened(series_url, engine) as forgetful:
        forgetful.drop_chunks("lab.ticks", as_of=AS_OF + timedelta(days=1))
    with pytest.raises(BelowWatermarkError):
        store.bars("lab.ticks", every=minutes(1), start=START + timedelta(days=2))


@pytest.mark.partitions
def test_an_s3_holds_it_as_a_directory_does(series_url: str, engine: Engine, tmp_path: Path) -> None:
    with served("rclone", tmp_path) as s3:
        archive = ColdTier(Bucket("s3://lab/some/prefix", s3))
        with opened(series_url, engine, CATALOG, archive=archive) as store:
            store.append("lab.ticks", ROWS)
            before = store.raw("lab.ticks", exact=True)
            store.drop_chunks("lab.ticks", as_of=AS_OF)
            assert (store.raw("lab.ticks", exact=True)).equals(before)
            for part in store.archived_parts():
                store.verify_archived(part)
    names = sorted(path.name for path in (tmp_path / "s3" / "lab" / "some" / "prefix").rglob("*") if path.is_file())
    assert [Path(name).suffix for name in names] == [".json"] * 4 + [".parquet"] * 4


def test_a_value_that_no_decimal_is_holds_retention_up_before_anything_is_final(store: Timescale, psql: Psql) -> None:
    store.append("lab.ticks", ROWS)
    psql.execute("UPDATE lab.ticks SET bid = 'NaN' WHERE time = %s AND symbol = 'A'", (START,))
    with pytest.raises(ArchiveError, match="bid holds NaN"):
        store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert store.watermark("lab.ticks") is None
    psql.execute("UPDATE lab.ticks SET bid = NULL WHERE time = %s AND symbol = 'A'", (START,))
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert (store.raw("lab.ticks")).num_rows == len(ROWS)


def test_so_does_it_where_a_rollup_takes_the_rows_watermark_along(
    series_url: str, engine: Engine, tmp_path: Path, psql: Psql
) -> None:
    """Its chunks are shorter than those of the rows, and so they go first."""
    fine, hourly = TICKS.rollups
    longer = replace(TICKS, archive=True, chunk=days(30), rollups=(replace(fine, keep=days(30), chunk=days(1)), hourly))
    catalog = Catalog((Domain("lab", hypertables=(longer,)),))
    with opened(series_url, engine, catalog, archive=tier(tmp_path)) as store:
        store.append("lab.ticks", ROWS)
        store.refresh("lab.ticks", as_of=AS_OF)
        before = store.bars("lab.ticks", every=minutes(1), start=START, exact=True)
        psql.execute("UPDATE lab.ticks SET bid = 'NaN' WHERE time = %s AND symbol = 'A'", (START,))
        with pytest.raises(ArchiveError, match="bid holds NaN"):
            store.drop_chunks("lab.ticks", as_of=AS_OF)
        psql.execute("UPDATE lab.ticks SET bid = NULL WHERE time = %s AND symbol = 'A'", (START,))
        for as_of in (AS_OF, AS_OF + timedelta(days=60)):
            (done, *_) = store.drop_chunks("lab.ticks", as_of=as_of)
            assert done.dataset == ("lab.ticks_5min" if as_of == AS_OF else "lab.ticks")
            assert (store.bars("lab.ticks", every=minutes(1), start=START, exact=True)).equals(before)


def test_rows_without_a_key_are_each_there_once(store: Timescale) -> None:
    rows = [
        {"time": START + timedelta(hours=h), "sensor": "s", "value": h % 5, "weight": h / 3} for h in range(24 * 20)
    ]
    store.append("lab.late", [*rows, *rows[:30]])
    store.drop_chunks("lab.late", as_of=START + timedelta(days=25))
    store.append("lab.late", rows[:10])
    store.append("lab.late", rows[:10])
    for _ in range(3):
        found = (store.raw("lab.late")).to_pylist()
        assert len(found) == 24 * 20 + 30 + 20
        assert [row["time"] for row in found] == sorted(row["time"] for row in found)
        store.drop_chunks("lab.late", as_of=START + timedelta(days=25))


@pytest.mark.partitions
def test_a_detached_chunk_is_dropped_by_nobody_but_retention(keeping: Timescale, psql: Psql) -> None:
    """As after a kill between detaching and dropping: it may have rows that are not archived yet."""
    store = keeping
    store.append("lab.ticks", ROWS)
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-02Z' WHERE dataset = 'lab.ticks'")
    level, chunk = store._level("lab.ticks"), (store.chunks("lab.ticks"))[0]
    store._archiving.begin(level, None, None)
    store._archiving.keep(level, chunk)
    store.append("lab.ticks", [tick(START, "late", 5)])
    store._lifecycle._detach(level, chunk)
    with pytest.raises(ConflictError, match="on its way to the archive"):
        store.append("lab.ticks", [tick(START, "later", 6)])
    assert (store.raw("lab.ticks")).num_rows == len(ROWS), "the late one is seen once it is archived"
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    store.append("lab.ticks", [tick(START, "later", 6)])
    assert (store.raw("lab.ticks")).num_rows == len(ROWS) + 2


def test_a_chunk_that_changed_after_it_was_archived_is_archived_again(
    keeping: Timescale, psql: Psql, tmp_path: Path
) -> None:
    """Rows that reach a chunk between its archiving and its end: as after a kill in between."""
    store = keeping
    store.append("lab.ticks", ROWS)
    psql.execute("UPDATE storekeeper.watermarks SET dropped_before = '2014-05-02Z' WHERE dataset = 'lab.ticks'")
    level, chunk = store._level("lab.ticks"), (store.chunks("lab.ticks"))[0]  # one step alone
    store._archiving.begin(level, None, None)  # as above
    kept = store._archiving.keep(level, chunk)  # as above
    assert kept is not None
    assert kept.rows == 48
    assert (store.raw("lab.ticks")).num_rows == len(ROWS), "as long as the chunk is there, it counts"
    store.append("lab.ticks", [tick(START, "late", 5)])
    assert (store.raw("lab.ticks")).num_rows == len(ROWS) + 1
    store.drop_chunks("lab.ticks", as_of=AS_OF)
    assert (store.raw("lab.ticks")).num_rows == len(ROWS) + 1
    assert len(list((tmp_path / "archive").rglob("*.parquet"))) == 4, "what was replaced is gone"
    assert len(list((tmp_path / "archive").rglob("*.json"))) == 4
