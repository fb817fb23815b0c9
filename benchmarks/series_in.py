"""Prices in: a DataFrame appended, upserted and back-filled, against what one would load it with instead."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable

import adbc_driver_postgresql.dbapi as adbc
import pandas as pd
import psycopg
import pyarrow as pa
import sqlalchemy as sa

from benchmarks.measuring import Measured, compared, race
from benchmarks.series_lab import COLUMNS, DATASET, DAYS, KEYLESS, START, SYMBOLS, Lab, bars_of, lab
from storekeeper.servers.binaries import find_program

#: Ways that take a minute for two million rows are timed over this many.
FEW = 50_000


def run() -> list[Measured]:
    """Every way in, on one database."""
    with lab() as series:
        frame = bars_of(SYMBOLS, DAYS)
        done = [*_append(series, frame), *_ahead(series, frame), *_again(series, frame)]
        if series.platform.timescale.engine.columnstore:
            done += _sealed(series, frame)
        return done


def _append(series: Lab, frame: pd.DataFrame) -> list[Measured]:
    engine = sa.create_engine(series.url.replace("postgresql://", "postgresql+psycopg://"))
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    few = frame.iloc[:FEW]
    slow = {
        "SQLAlchemy insert": lambda: _inserted(engine, few),
        "pandas.to_sql": lambda: _to_sql(engine, few),
    }
    quick: dict[str, Callable[[], int]] = {
        "a DataFrame": lambda: series.platform.timescale.append(DATASET, frame, timeout=None).rows,
        "an Arrow table": lambda: series.platform.timescale.append(DATASET, arrow, timeout=None).rows,
        "psql": _psql(series, frame),
        "adbc_ingest": lambda: _adbc(series, arrow),
    }
    try:
        rates = race(quick, rounds=3, before=series.emptied) | race(slow, rounds=3, before=series.emptied)
    finally:
        engine.dispose()
    forms = ("a DataFrame", "an Arrow table")
    return [
        *(
            compared(f"append {form}, against psql's \\copy of binary", rates[form], rates["psql"], target=0.9)
            for form in forms
        ),
        *(
            compared(f"append {form}, against adbc_ingest", rates[form], rates["adbc_ingest"], target=1.2)
            for form in forms
        ),
        *(compared(f"append a DataFrame, against {way}", rates["a DataFrame"], rates[way], target=10) for way in slow),
    ]


def _ahead(series: Lab, frame: pd.DataFrame) -> list[Measured]:
    """Two connections against one, both into chunks that are there."""
    store = series.platform.timescale

    def made() -> None:
        series.emptied()
        store.make_chunks_ahead(DATASET, as_of=START, count=DAYS)

    rates = race(
        {
            "one": lambda: store.append(DATASET, frame, timeout=None).rows,
            "two": lambda: store.append(DATASET, frame, timeout=None, connections=2).rows,
        },
        rounds=3,
        before=made,
    )
    return [
        compared("append over two connections, chunks made ahead, against one", rates["two"], rates["one"], target=1.3)
    ]


def _again(series: Lab, frame: pd.DataFrame) -> list[Measured]:
    """The same rows a second time."""
    store = series.platform.timescale
    first = race(
        {"append": lambda: store.append(DATASET, frame, timeout=None).rows},
        rounds=3,
        before=series.emptied,
        warm_up=False,
    )
    before = _contents(series)

    def upserted() -> int:
        told = store.upsert(DATASET, frame, timeout=None)
        assert told.skipped == told.rows == len(frame), told
        return told.rows

    again = race({"upsert": upserted}, rounds=3)
    assert _contents(series) == before
    return [compared("upsert of the same rows again, against append", again["upsert"], first["append"], target=0.4)]


def _sealed(series: Lab, frame: pd.DataFrame) -> list[Measured]:
    """Days that are over, in one call, the columnstore at its end."""
    store = series.platform.timescale

    def emptied() -> None:
        series.emptied("invest.intraday_prices", KEYLESS.name)

    rates = race(
        {
            "append": lambda: store.append(DATASET, frame, timeout=None).rows,
            "backfill": lambda: store.backfill(DATASET, frame).appended.rows,
            "append without key": lambda: store.append(KEYLESS, frame, timeout=None).rows,
            "backfill without key": lambda: store.backfill(KEYLESS, frame).appended.rows,
        },
        rounds=3,
        before=emptied,
    )
    emptied()
    store.append(DATASET, frame, timeout=None)
    rows = sum(chunk.bytes for chunk in store.chunks(DATASET))
    emptied()
    store.backfill(DATASET, frame)
    columns = sum(chunk.bytes for chunk in store.chunks(DATASET))
    without = "back-fill of sealed days without natural key, against append of them"
    return [
        compared("back-fill of sealed days, against append", rates["backfill"], rates["append"], target=0.6),
        compared("back-fill of sealed days, rows a byte, against rows as they come", rows / columns, 1.0, target=6.0),
        compared(without, rates["backfill without key"], rates["append without key"], target=1.2),
    ]


def _psql(series: Lab, frame: pd.DataFrame) -> Callable[[], int]:
    """The server's own program with the same rows, ready-made as COPY's binary format."""
    path = series.folder / "bars.bin"
    series.loaded(frame)
    with psycopg.connect(series.url) as connection, path.open("wb") as file:
        ordered = f"SELECT {COLUMNS} FROM {DATASET} ORDER BY time, symbol"
        with connection.cursor().copy(f"COPY ({ordered}) TO STDOUT (FORMAT binary)") as copy:
            file.writelines(copy)

    def copied() -> int:
        _run_psql(series, f"\\copy {DATASET} ({COLUMNS}) from '{path}' with (format binary)")
        return len(frame)

    return copied


def _run_psql(series: Lab, command: str) -> None:
    subprocess.run(
        [str(find_program("postgres").path.with_name("psql")), "-qX", "-d", series.url, "-c", command], check=True
    )


def _adbc(series: Lab, table: pa.Table) -> int:
    """It takes decimals only into NUMERIC; making them is part of what its user has to do."""
    decimals = {"price": (18, 6), "volume": (24, 8), "bid": (18, 6), "ask": (18, 6)}
    for name, places in decimals.items():
        column = table.column(name).cast(pa.decimal128(38, places[1])).cast(pa.decimal128(*places))
        table = table.set_column(table.schema.get_field_index(name), name, column)
    with adbc.connect(series.url) as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("intraday_prices", table, mode="append", db_schema_name="invest")
        connection.commit()
    return int(table.num_rows)


def _inserted(engine: sa.Engine, frame: pd.DataFrame) -> int:
    table = sa.Table("intraday_prices", sa.MetaData(), schema="invest", autoload_with=engine)
    rows = [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]
    with engine.begin() as connection:
        connection.execute(sa.insert(table), rows)
    return len(rows)


def _to_sql(engine: sa.Engine, frame: pd.DataFrame) -> int:
    frame.to_sql(
        "intraday_prices", engine, schema="invest", if_exists="append", index=False, method="multi", chunksize=5_000
    )
    return len(frame)


def _contents(series: Lab) -> bytes:
    """Every row, as text."""
    whole = io.BytesIO()
    with psycopg.connect(series.url) as connection:
        with connection.cursor().copy(f"COPY (SELECT * FROM {DATASET} ORDER BY time, symbol) TO STDOUT") as copy:
            for block in copy:
                whole.write(block)
    return whole.getvalue()
