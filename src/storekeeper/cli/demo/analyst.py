"""What an analyst sees: bars out of rollups and raw rows in one call, the chain of years, a picture."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from storekeeper.analytics.asking import Request
from storekeeper.analytics.plots import draw
from storekeeper.analytics.reading import read
from storekeeper.cli.output import console
from storekeeper.cli.query import print_grid
from storekeeper.errors import BelowWatermarkError
from storekeeper.platform import Platform
from storekeeper.span import Span, hours, minutes

DATASET = "invest.intraday_prices"
SYMBOL = "WETH-USDC@univ3-polygon"
END = datetime(2022, 8, 23, tzinfo=UTC)
#: Older than 30 days on the last night: these raw rows are gone, their bars are not.
DROPPED_DAY = datetime(2022, 7, 19, tzinfo=UTC)


def show_bars(platform: Platform, picture: Path) -> None:
    """Prints bars of the newest hour and of a day whose raw rows were dropped, and draws all days."""
    newest = _bars(platform, minutes(5), END - timedelta(hours=1), END)
    console().print(f"platform.timescale.bars({DATASET!r}, [{SYMBOL!r}], every=minutes(5), …): the newest hour")
    print_grid(newest.column_names, [tuple(bar.values()) for bar in newest.to_pylist()])
    raw = platform.timescale.raw(DATASET, start=DROPPED_DAY, end=DROPPED_DAY + timedelta(days=1))
    began = time.monotonic()
    kept = _bars(platform, minutes(5), DROPPED_DAY, DROPPED_DAY + timedelta(days=1))
    console().print(
        f"{DROPPED_DAY:%Y-%m-%d}: {raw.num_rows} raw rows are left, and {kept.num_rows} bars of 5 minutes,"
        f" read in {(time.monotonic() - began) * 1000:.0f} ms"
    )
    month = _bars(platform, hours(4), END - timedelta(days=35), END)
    draw(month, picture, title=f"{SYMBOL}, bars of 4 hours", time="bucket", key="symbol")
    console().print(f"candlesticks of all 35 days: {picture}")


def show_what_is_left(platform: Platform) -> None:
    """Prints what years have left of one day."""
    end = DROPPED_DAY + timedelta(days=1)
    raw = platform.timescale.raw(DATASET, start=DROPPED_DAY, end=end)
    hourly = _bars(platform, hours(1), DROPPED_DAY, end)
    console().print(f"{DROPPED_DAY:%Y-%m-%d}: {raw.num_rows} raw rows and {hourly.num_rows} bars of 1 hour are left")
    try:
        _bars(platform, minutes(5), DROPPED_DAY, end)
    except BelowWatermarkError as error:
        console().print(f"Asked for bars of 5 minutes, it says: {error.cause}; {error.hint}")


def _bars(platform: Platform, every: Span, start: datetime, end: datetime) -> pa.Table:
    return read(platform, Request(DATASET, start, end, keys=[SYMBOL], every=every))
