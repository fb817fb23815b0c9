"""Prices out: a million rows to Arrow and pandas, bars, the latest price of many symbols; and what memory it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import adbc_driver_postgresql.dbapi as adbc
import connectorx
import pandas as pd
import psycopg
import pyarrow as pa
import sqlalchemy as sa

from benchmarks.measuring import Measured, compared, peak, race
from benchmarks.series_lab import DATASET, DAYS, START, SYMBOLS, Lab, bars_of, lab
from storekeeper import Platform, connect, minutes

#: Days of about a million rows.
MILLION_DAYS = 15
END = START + timedelta(days=MILLION_DAYS)
NUMBERS = ("price", "volume", "bid", "ask")
WITHIN = f"WHERE time >= '{START:%Y-%m-%d}+00' AND time < '{END:%Y-%m-%d}+00' ORDER BY time, symbol"
#: As our reader asks for them: NUMERIC as float64, or as it is.
FLOATS = f"SELECT time, symbol, {', '.join(f'{name}::float8 AS {name}' for name in NUMBERS)} FROM {DATASET} {WITHIN}"
EXACT = f"SELECT * FROM {DATASET} {WITHIN}"
DECIMALS: Final = {"price": (18, 6), "volume": (24, 8), "bid": (18, 6), "ask": (18, 6)}

#: Rows of the streams whose memory is measured.
STREAMED = 20_000_000


def run() -> list[Measured]:
    """Every way out, on one database; then the memory of whole processes."""
    with lab() as series:
        series.loaded(bars_of(SYMBOLS, DAYS))
        done = [*_rows(series), *_bars(series), *_memory(series)]
        series.loaded(bars_of(500, DAYS, every=timedelta(minutes=11)))
        done += _latest(series)
        return [*done, *_streams(series)]


def _rows(series: Lab) -> list[Measured]:
    store, url = series.platform.timescale, series.url
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    def ours(*, exact: bool) -> pa.Table:
        return store.raw(DATASET, start=START, end=END, exact=exact, timeout=None)

    try:
        floats = race(
            {
                "Arrow": lambda: ours(exact=False).num_rows,
                "pandas": lambda: len(ours(exact=False).to_pandas()),
                "ADBC": lambda: _adbc(url, FLOATS).num_rows,
                "connectorx": lambda: _connectorx(url, FLOATS).num_rows,
                "ADBC to pandas": lambda: len(_adbc(url, FLOATS).to_pandas()),
                "connectorx to pandas": lambda: len(connectorx.read_sql(url, FLOATS)),
                "pandas.read_sql": lambda: len(pd.read_sql(sa.text(EXACT), engine)),
            },
            rounds=3,
        )
        exact = race(
            {
                "Arrow": lambda: ours(exact=True).num_rows,
                "pandas": lambda: len(ours(exact=True).to_pandas()),
                "ADBC": lambda: _decimals(_adbc(url, EXACT)).num_rows,
                "connectorx": lambda: _decimals(_connectorx(url, EXACT)).num_rows,
                "pandas.read_sql": lambda: len(pd.read_sql(sa.text(EXACT), engine, coerce_float=False)),
            },
            rounds=3,
        )
    finally:
        engine.dispose()
    fastest, to_pandas = (
        max(floats["ADBC"], floats["connectorx"]),
        max(floats["ADBC to pandas"], floats["connectorx to pandas"]),
    )
    return [
        compared(
            "1 M rows to Arrow, float64, against the faster of ADBC and connectorx",
            floats["Arrow"],
            fastest,
            target=0.95,
        ),
        compared("1 M rows to pandas, float64, against the faster of both", floats["pandas"], to_pandas, target=0.95),
        compared(
            "1 M rows to Arrow, decimals, against the faster of both",
            exact["Arrow"],
            max(exact["ADBC"], exact["connectorx"]),
            target=0.95,
        ),
        compared(
            "1 M rows to pandas, float64, against pandas.read_sql",
            floats["pandas"],
            floats["pandas.read_sql"],
            target=8,
        ),
        compared(
            "1 M rows to pandas, decimals, against pandas.read_sql", exact["pandas"], exact["pandas.read_sql"], target=3
        ),
    ]


def _adbc(url: str, query: str) -> pa.Table:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        table: pa.Table = cursor.fetch_arrow_table()
        return table


def _connectorx(url: str, query: str) -> pa.Table:
    answer: Any = connectorx.read_sql(url, query, return_type="arrow")
    table: pa.Table = answer
    return table


def _decimals(table: pa.Table) -> pa.Table:
    """Their NUMERIC (text, or 38 digits of ten decimals) as the decimals that were declared."""
    for name, places in DECIMALS.items():
        column = table.column(name)
        if pa.types.is_dictionary(column.type) or isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array([_storage(chunk) for chunk in column.chunks])
        table = table.set_column(table.schema.get_field_index(name), name, column.cast(pa.decimal128(*places)))
    return table


def _storage(array: Any) -> pa.Array[Any]:
    """What an extension type is kept as."""
    stored: pa.Array[Any] = array.storage
    return stored


def _bars(series: Lab) -> list[Measured]:
    store = series.platform.timescale
    end = START + timedelta(days=DAYS)
    store.refresh(DATASET, as_of=end + timedelta(hours=1))
    series.settled()
    raw = (
        "SELECT date_bin('5 minutes', time, '2000-01-03+00') AS bucket, symbol,"
        " (array_agg(price ORDER BY time))[1]::float8 AS open, max(price)::float8 AS high, min(price)::float8 AS low,"
        " (array_agg(price ORDER BY time DESC))[1]::float8 AS close, sum(volume)::float8 AS volume,"
        " (sum(price * volume) / nullif(sum(volume), 0))::float8 AS vwap, count(*) AS count"
        f" FROM {DATASET} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    if series.engine == "hypertables":
        raw = raw.replace("date_bin('5 minutes', time, '2000-01-03+00')", "time_bucket('5 minutes', time)")
        raw = raw.replace("(array_agg(price ORDER BY time))[1]", "first(price, time)")
        raw = raw.replace("(array_agg(price ORDER BY time DESC))[1]", "last(price, time)")
    rates = race(
        {
            "rollup": lambda: store.bars(DATASET, every=minutes(5), start=START, end=end).num_rows,
            "rows": lambda: _adbc(series.url, raw).num_rows,
        },
        rounds=5,
    )
    name = "5-minute bars of all symbols, delivered, against the same from rows (by ADBC)"
    return [compared(name, rates["rollup"], rates["rows"], target=10)]


def _latest(series: Lab) -> list[Measured]:
    store = series.platform.timescale
    symbols = [f"SYM{number:03d}" for number in range(500)]
    unbounded = f"SELECT symbol, (array_agg(price ORDER BY time DESC))[1] FROM {DATASET} GROUP BY symbol"
    if series.engine == "hypertables":
        unbounded = f"SELECT symbol, last(price, time) FROM {DATASET} GROUP BY symbol"

    def theirs() -> int:
        with psycopg.connect(series.url) as connection:
            return len(connection.execute(unbounded).fetchall())

    rates = race(
        {
            "named": lambda: store.latest(DATASET, symbols).num_rows,
            "all": lambda: store.latest(DATASET).num_rows,
            "last()": theirs,
        },
        rounds=5,
    )
    return [
        compared(
            "latest price of 500 symbols, against last() over all rows", rates["named"], rates["last()"], target=20
        ),
        compared(
            "latest price of every symbol, unnamed, against last() over all rows",
            rates["all"],
            rates["last()"],
            target=1,
        ),
    ]


# memory, in processes of their own -----------------------------------------------------------------------------------


def _memory(series: Lab) -> list[Measured]:
    """How often our peak goes into theirs."""
    theirs = peak(_read_sql, series.url)
    ours = peak(_read_ours, *_urls(series))
    return [compared("1 M rows to pandas: times that our memory goes into pandas.read_sql's", theirs, ours, target=5)]


def _streams(series: Lab) -> list[Measured]:
    """Both at most 300 MB, the packages that they import included."""
    series.emptied()
    written = peak(_write_stream, *_urls(series))
    read = peak(_read_stream, *_urls(series))
    return [
        compared(
            f"{STREAMED // 10**6} M rows streamed in: times that the memory goes into 300 MB", 300, written, target=1
        ),
        compared(
            f"{STREAMED // 10**6} M rows streamed out: times that the memory goes into 300 MB", 300, read, target=1
        ),
    ]


def _urls(series: Lab) -> tuple[str, str]:
    """The stack's folder, and the series."""
    return str(series.folder), series.url


def _opened(folder: str, timescale: str) -> AbstractContextManager[Platform]:
    return connect(
        stores=("timescale",), root=Path(folder), directory=Path(folder), role="owner", timescale_owner_url=timescale
    )


def _read_sql(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    assert len(pd.read_sql(sa.text(EXACT), engine)) > 900_000


def _read_ours(folder: str, timescale: str) -> None:
    with _opened(folder, timescale) as platform:
        table = platform.timescale.raw(DATASET, start=START, end=END, timeout=None)
        frame = table.to_pandas(split_blocks=True, self_destruct=True)
        assert len(frame) > 900_000


def _write_stream(folder: str, timescale: str) -> None:
    with _opened(folder, timescale) as platform:
        with platform.timescale.appending(DATASET) as rows:
            for day in _days():
                rows.write(day)


def _days() -> Iterator[pd.DataFrame]:
    """As many rows as are streamed, a day at a time."""
    one, each = bars_of(SYMBOLS, 1), SYMBOLS * 1440
    for number in range(-(-STREAMED // each)):
        yield one.assign(time=one["time"] + timedelta(days=number))


def _read_stream(folder: str, timescale: str) -> None:
    with _opened(folder, timescale) as platform:
        rows = 0
        with platform.timescale.stream(DATASET) as batches:
            for batch in batches:
                rows += batch.num_rows
        assert rows >= STREAMED, rows
