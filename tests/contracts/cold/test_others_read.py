"""The files of the cold tier, as other programs read them: DuckDB, and pyarrow by hive partitions."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from cold_files import BOUNDS, DAY, KINDS, rows, written
from storekeeper.stores.cold.place import Directory
from storekeeper.stores.cold.tier import ColdTier


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two datasets, two days of the first, and a manifest among them."""
    tier = ColdTier(Directory(tmp_path))
    table = rows()
    times = table.schema.get_field_index("time")
    later = table.set_column(times, "time", [[t.as_py() + timedelta(days=1) for t in table.column("time")]])
    later = later.cast(table.schema)
    file = written(tier, table)
    written(tier, later, part="p2")
    written(tier, rows(30), dataset="lab.é/x")
    tier.seal_part(
        dataset="lab.ticks",
        part="p1",
        chunk="c",
        bounds=BOUNDS,
        time="time",
        sorted_by=("symbol", "time"),
        columns=[(name, "TEXT") for name in KINDS],
        schema=table.schema,
        declaration="",
        content="",
        written_at=DAY,
        files=[file],
    )
    return tmp_path / "series"


def test_duckdb_reads_hive_partitions_with_exact_types(archive: Path) -> None:
    duckdb: Any = pytest.importorskip("duckdb", reason="pip install duckdb")
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    source = f"read_parquet('{archive}/*/*/*.parquet', hive_partitioning = true)"
    kinds = dict(database.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {source})").fetchall())
    assert kinds == {
        "time": "TIMESTAMP WITH TIME ZONE",
        "symbol": "VARCHAR",
        "price": "DECIMAL(18,6)",
        "size": "BIGINT",
        "share": "DOUBLE",
        "open": "BOOLEAN",
        "on": "DATE",
        "dataset": "VARCHAR",
        "day": "DATE",
    }
    counts = database.execute(f"SELECT dataset, day::text, count(*) FROM {source} GROUP BY ALL ORDER BY ALL").fetchall()
    assert counts == [("lab.ticks", "2024-01-05", 500), ("lab.ticks", "2024-01-06", 500), ("lab.é/x", "2024-01-05", 30)]
    total, first = database.execute(
        f"SELECT sum(price), min(time)::text FROM {source} WHERE dataset = 'lab.ticks' AND day = '2024-01-06'"
    ).fetchone()
    assert total == sum((row["price"] or Decimal(0)) for row in rows().to_pylist())
    assert first == "2024-01-06 00:00:00+00"


def test_pyarrow_reads_hive_partitions(archive: Path) -> None:
    dataset: Any = ds.dataset(str(archive), format="parquet", partitioning="hive")
    assert dataset.schema.field("price").type == rows().schema.field("price").type
    found = dataset.to_table(filter=(ds.field("day") == "2024-01-05") & (ds.field("dataset") == "lab.ticks"))
    assert found.num_rows == 500


def test_row_groups_carry_statistics_and_an_order(archive: Path) -> None:
    import pyarrow.parquet as pq

    parquet: Any = pq
    path = next((archive / "dataset=lab.ticks").rglob("*.parquet"))
    group = parquet.ParquetFile(path).metadata.row_group(0)
    assert [(one.column_index, one.descending) for one in group.sorting_columns] == [(1, False), (0, False)]
    statistics = group.column(2).statistics
    assert (statistics.has_min_max, statistics.null_count) == (True, 72)
    assert group.column(2).compression == "ZSTD"
