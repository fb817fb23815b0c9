"""Rows for files of the cold tier, and their writing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from storekeeper.catalog import Range
from storekeeper.stores.cold.tier import ColdTier
from storekeeper.timescale.archived import ColdFile

DAY = datetime(2024, 1, 5, tzinfo=UTC)
BOUNDS = Range(DAY, DAY + timedelta(days=1))
KINDS = {"time": True, "symbol": True, "price": True, "size": True, "share": False, "open": True, "on": False}


def rows(count: int = 500) -> pa.Table:
    """Sorted by symbol and time, with nulls."""
    symbols = [("A", "é", "")[place * 3 // count] for place in range(count)]
    fields: list[tuple[str, pa.DataType]] = [
        ("time", pa.timestamp("us", tz="UTC")),
        ("symbol", pa.string()),
        ("price", pa.decimal128(18, 6)),
        ("size", pa.int64()),
        ("share", pa.float64()),
        ("open", pa.bool_()),
        ("on", pa.date32()),
    ]
    return pa.table(
        {
            "time": [DAY + timedelta(minutes=place % (count // 3 or 1)) for place in range(count)],
            "symbol": symbols,
            "price": [None if place % 7 == 0 else Decimal(place).scaleb(-6) for place in range(count)],
            "size": [place * 10**12 for place in range(count)],
            "share": [None if place % 5 == 0 else place / 7 for place in range(count)],
            "open": [place % 2 == 0 for place in range(count)],
            "on": [DAY.date() for _ in range(count)],
        },
        schema=pa.schema(fields),
    )


def written(tier: ColdTier, table: pa.Table, part: str = "p1", dataset: str = "lab.ticks") -> ColdFile:
    file, _ = tier.write(dataset, part, 0, table, time="time", sorted_by=("symbol", "time"), summed=KINDS)
    return file
