"""Series that are archived, for tests of the cold tier, and rows for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from storekeeper.catalog import Catalog, Domain
from storekeeper.stores.cold.place import Directory
from storekeeper.stores.cold.tier import ColdTier
from timescale_series import LATE, TICKS, moment

#: Rows 30 days; refused when late, by natural key, and (what costs time) rolled up only where a test says so. Rows 10
#: days; kept when late, without a key.
COLD_TICKS = replace(TICKS, archive=True, rollups=())
COLD_LATE = replace(LATE, archive=True)
#: As the ticks, but late rows are kept, so that they meet what is archived.
COLD_KEPT = replace(TICKS, archive=True, late_rows="keep", rollups=())
CATALOG = Catalog((Domain("lab", hypertables=(COLD_TICKS, COLD_LATE)),))
ROLLED_UP = Catalog((Domain("lab", hypertables=(replace(TICKS, archive=True),)),))
KEPT_CATALOG = Catalog((Domain("lab", hypertables=(COLD_KEPT,)),))

START = moment("2014-05-01 00:00")
#: As of then the first four days are due, of ticks.
AS_OF = START + timedelta(days=34)


def tier(folder: Path) -> ColdTier:
    return ColdTier(Directory(folder / "archive"))


def ticks(days: int, *, every: int = 90, symbols: Iterable[str] = ("A", "B", "é")) -> list[dict[str, object]]:
    """Ticks from START on, `every` so many minutes, with nulls and many digits."""
    return [
        {
            "time": START + timedelta(minutes=every * step),
            "symbol": symbol,
            "price": Decimal(100 + step) + Decimal("0.000001") * (step % 7),
            "volume": Decimal("9007199254740993.00000001") if step == 5 else Decimal(step) / 8,
            "bid": None if step % 3 else Decimal("1.5"),
            "ask": Decimal("-0.25"),
        }
        for step in range(days * 24 * 60 // every)
        for symbol in symbols
    ]


def tick(time: datetime, symbol: str, price: int) -> dict[str, object]:
    return {"time": time, "symbol": symbol, "price": Decimal(price), "volume": Decimal(1)}


def key(row: dict[str, object]) -> tuple[datetime, str]:
    assert isinstance(row["time"], datetime)
    assert isinstance(row["symbol"], str)
    return row["time"], row["symbol"]
