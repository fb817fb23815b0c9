"""The life of a series: days dropped, against DELETE and VACUUM; and the cold tier read, against the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pandas as pd
import psycopg

from benchmarks.measuring import Measured, compared, race
from benchmarks.series_lab import DATASET, DAYS, START, SYMBOLS, Lab, bars_of, lab
from storekeeper import Hypertable
from storekeeper.domains.invest.series import INTRADAY_PRICES

END = START + timedelta(days=DAYS)
ROUNDS = 3


def run() -> list[Measured]:
    """Thirty days gone, both ways; then the same days out of Parquet."""
    with lab() as series:
        return [*_dropped(series), *_cold(series)]


def _dropped(series: Lab) -> list[Measured]:
    frame = bars_of(SYMBOLS, DAYS)
    ours: list[tuple[float, int]] = []
    theirs: list[tuple[float, int]] = []
    for _ in range(ROUNDS):
        _ready(series, frame)
        theirs.append(_measured(series, lambda: _deleted(series)))
        _ready(series, frame)
        ours.append(_measured(series, lambda: _drop(series)))
    (mine, my_wal), (other, their_wal) = sorted(ours)[ROUNDS // 2], sorted(theirs)[ROUNDS // 2]
    rows = len(frame)
    return [
        compared("30 days dropped, rollups verified, against DELETE and VACUUM", rows / mine, rows / other, target=5),
        compared("30 days dropped: WAL of DELETE and VACUUM by ours", their_wal, max(my_wal, 1), target=20),
    ]


def _cold(series: Lab) -> list[Measured]:
    """A million rows out of Parquet, against as many out of the store: the two halves of one dataset."""
    archived = replace(INTRADAY_PRICES, archive=True)
    _ready(series, bars_of(SYMBOLS, DAYS))
    half = START + timedelta(days=DAYS // 2)
    series.platform.timescale.drop_chunks(archived, as_of=half + timedelta(days=30))
    assert series.platform.timescale.watermark(DATASET) == half
    done = []
    for exact in (False, True):
        rates = race(
            {
                "cold": partial(_rows, series, archived, START, half, exact),
                "hot": partial(_rows, series, archived, half, END, exact),
            },
            rounds=5,
        )
        kind = "decimals" if exact else "float64"
        done.append(
            compared(f"cold scan to Arrow, {kind}, against the hot read", rates["cold"], rates["hot"], target=5)
        )
    return done


def _rows(series: Lab, dataset: Hypertable, start: datetime, end: datetime, exact: bool) -> int:
    return int(series.platform.timescale.raw(dataset, start=start, end=end, exact=exact).num_rows)


def _ready(series: Lab, frame: pd.DataFrame) -> None:
    """The rows are there and rolled up, and nothing was ever dropped."""
    with psycopg.connect(series.url, autocommit=True) as connection:
        connection.execute("UPDATE storekeeper.watermarks SET dropped_before = NULL")
    series.loaded(frame)
    series.platform.timescale.refresh(DATASET, as_of=END + timedelta(hours=1))
    with psycopg.connect(series.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _drop(series: Lab) -> None:
    dropped = series.platform.timescale.drop_chunks(DATASET, as_of=END + timedelta(days=31))
    assert sum(len(level.chunks) for level in dropped if level.dataset == DATASET) == DAYS


def _deleted(series: Lab) -> None:
    with psycopg.connect(series.url, autocommit=True) as connection:
        connection.execute(f"DELETE FROM {DATASET} WHERE time < %s", (END,))
        connection.execute(f"VACUUM {DATASET}")


def _measured(series: Lab, work: Callable[[], None]) -> tuple[float, int]:
    """Seconds, and bytes of WAL."""
    with psycopg.connect(series.url, autocommit=True) as connection:
        before = _position(connection)
        began = time.perf_counter()
        work()
        return time.perf_counter() - began, _position(connection) - before


def _position(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(str(row[0]))
