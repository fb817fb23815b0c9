"""Prices in and out, on plain PostgreSQL partitions with the unique index of the data contract."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa

from benchmarks.measuring import Measured, measure
from storekeeper import connect, minutes
from storekeeper.jobs import run_job
from storekeeper.migrations import apply
from storekeeper.platform import Platform
from storekeeper.servers import running_stack

DATASET = "invest.intraday_prices"
TABLE = "intraday_prices"
SYMBOLS = [f"SYM{number:02d}@bench" for number in range(20)]
START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 5
ROWS = len(SYMBOLS) * DAYS * 1440


def run() -> list[Measured]:
    """Every measurement, on a stack of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder)) as stack,
        connect(directory=Path(folder), root=Path(folder)) as platform,
    ):
        apply(platform)
        engine = sa.create_engine(stack.urls.postgres.replace("postgresql://", "postgresql+psycopg://"))
        try:
            return [_append(platform, engine), *_read(platform, engine)]
        finally:
            engine.dispose()


def _frame() -> pd.DataFrame:
    """Minute bars: prices of six decimals in steps of a random walk, from a fixed seed."""
    random = np.random.default_rng(20240101)
    times = pd.date_range(START, periods=DAYS * 1440, freq="min")
    walk = 100 + random.normal(0, 0.01, (len(SYMBOLS), len(times))).cumsum(axis=1)
    return pd.DataFrame(
        {
            "time": np.tile(times, len(SYMBOLS)),
            "symbol": np.repeat(SYMBOLS, len(times)),
            "price": walk.ravel().round(6),
            "volume": random.integers(1, 10_000, ROWS).astype(float),
        }
    )


def _append(platform: Platform, engine: sa.Engine) -> Measured:
    frame = _frame()

    def emptied() -> None:
        with engine.begin() as connection:
            connection.execute(sa.text(f"TRUNCATE invest.{TABLE}"))

    def ours() -> int:
        emptied()
        return platform.timescale.append(DATASET, frame, timeout=None).rows

    def theirs() -> int:
        emptied()
        # pandas' own fast way: many rows a statement
        frame.to_sql(TABLE, engine, schema="invest", if_exists="append", index=False, method="multi", chunksize=5_000)
        return len(frame)

    measured = measure("append a DataFrame, against pandas.to_sql", ours, theirs, target=10, rounds=3)
    ours()
    return measured


def _read(platform: Platform, engine: sa.Engine) -> list[Measured]:
    end = START + timedelta(days=DAYS)

    def rows_ours() -> int:
        count: int = platform.timescale.raw(DATASET, start=START, end=end).num_rows
        return count

    def rows_theirs() -> int:
        statement = sa.text(f"SELECT * FROM invest.{TABLE} WHERE time >= :start AND time < :end")
        return len(pd.read_sql(statement, engine, params={"start": START, "end": end}))

    def bars_ours() -> int:
        count: int = platform.timescale.bars(DATASET, SYMBOLS, every=minutes(5), start=START, end=end).num_rows
        return count

    def bars_theirs() -> int:
        statement = sa.text(
            "SELECT date_bin('5 minutes', time, '2000-01-03+00') AS bucket, symbol,"
            " (array_agg(price ORDER BY time))[1] AS open, max(price) AS high, min(price) AS low,"
            " (array_agg(price ORDER BY time DESC))[1] AS close, sum(volume) AS volume"
            f" FROM invest.{TABLE} WHERE time >= :start AND time < :end GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return len(pd.read_sql(statement, engine, params={"start": START, "end": end}))

    run_job(platform, "rollups", as_of=end + timedelta(hours=1))
    return [
        measure("read raw rows into Arrow, against pandas.read_sql", rows_ours, rows_theirs, target=1, rounds=3),
        measure("5-minute bars, against SQL over the raw rows", bars_ours, bars_theirs, target=3, rounds=3),
    ]
