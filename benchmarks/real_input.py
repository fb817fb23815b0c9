"""Dirty files in, on plain PostgreSQL partitions with the unique index of the data contract.

Each side is a command as a user types it, its start included. `DATA=FOLDER` names the folder of the files that the
README's walk uses; without it, files of the same shape are made from a fixed seed.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from benchmarks.measuring import Measured, measure
from storekeeper.migrations import apply
from storekeeper.platform import connect
from storekeeper.servers import running_stack
from storekeeper.servers.binaries import find_program

TICKS = "fx_ticks_eurusd_fxcm.csv.gz"
DAILY = "equity_daily_yahoo_2016_2017.csv.gz"
_MAPPED = ("--map", "time=ts_utc", "--map", "symbol={symbol}@{market}", "--map", "price=mid(bid,ask)")
_DAYS, _TICKS_A_DAY = 12, 95_000
_SYMBOLS, _ARCHIVES = 500, 320


def run(data: Path | None = None) -> list[Measured]:
    """Every measurement, on a stack of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ticks, daily = (data / TICKS, data / DAILY) if data else (_ticks(folder / TICKS), _daily(folder / DAILY))
        with running_stack(folder / "stack") as stack, connect(directory=folder / "stack", root=folder) as platform:
            apply(platform)
            url = stack.urls.postgres
            engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
            try:
                return [_against_psql(folder, ticks, url, engine), _against_pandas(folder, daily, engine)]
            finally:
                engine.dispose()


def _against_psql(folder: Path, ticks: Path, url: str, engine: sa.Engine) -> Measured:
    """Ticks are unpacked, parsed, put together, halved, checked and written; psql gets the outcome ready-made."""
    ready = folder / "ready.csv"
    psql = str(find_program("postgres").path.with_name("psql"))

    def ours() -> int:
        _emptied(engine, "intraday_prices")
        _command(folder, "ingest", "invest.intraday_prices", str(ticks), *_MAPPED, "--set", "volume=0", "--again")
        return _count(engine, "intraday_prices")

    def theirs() -> int:
        _emptied(engine, "intraday_prices")
        names = "time, symbol, price, volume, bid, ask"
        copy = f"\\copy invest.intraday_prices ({names}) FROM '{ready}' (FORMAT csv)"
        subprocess.run([psql, url, "-q", "-v", "ON_ERROR_STOP=1", "-c", copy], check=True, cwd=folder)
        return _count(engine, "intraday_prices")

    ours()
    query = "COPY (SELECT time, symbol, price, volume, bid, ask FROM invest.intraday_prices) TO STDOUT (FORMAT csv)"
    with ready.open("wb") as file:
        subprocess.run([psql, url, "-q", "-c", query], check=True, stdout=file)
    return measure("ingest ticks from csv.gz, against psql \\copy of the rows ready-made", ours, theirs, target=0.5)


def _against_pandas(folder: Path, daily: Path, engine: sa.Engine) -> Measured:
    """Daily bars of which every archive repeats the day before: the later archive wins."""

    def ours() -> int:
        _emptied(engine, "stock_prices")
        options = ("--map", "time=date", "--zone", "UTC", "--map", "adjusted_close=adj_close", "--again")
        versions = ("--version", "archive_date", "--on-conflict", "update")
        _command(folder, "ingest", "invest.stock_prices", str(daily), *options, *versions)
        return _count(engine, "stock_prices")

    def theirs() -> int:
        _emptied(engine, "stock_prices")
        script = (
            "import pandas as pd, sqlalchemy as sa, sys\n"
            "f = pd.read_csv(sys.argv[1], dtype=str).sort_values('archive_date', kind='stable')\n"
            "f = f.drop_duplicates(['symbol', 'date'], keep='last').drop(columns='archive_date')\n"
            "f = f.rename(columns={'date': 'time', 'adj_close': 'adjusted_close'})\n"
            "f['time'] = pd.to_datetime(f['time'], utc=True)\n"
            "f['volume'] = f['volume'].astype(int)\n"
            "e = sa.create_engine(sys.argv[2], use_insertmanyvalues=True)\n"
            "f.to_sql('stock_prices', e, schema='invest', if_exists='append', index=False, method='multi', "
            "chunksize=5000, dtype={n: sa.Numeric for n in ('open', 'high', 'low', 'close', 'adjusted_close')})\n"
        )
        target = engine.url.render_as_string(hide_password=False)
        subprocess.run([sys.executable, "-c", script, str(daily), target], check=True)
        return _count(engine, "stock_prices")

    return measure("ingest the latest versions of daily bars, against pandas", ours, theirs, target=2, rounds=3)


def _command(folder: Path, *arguments: str) -> None:
    program = [sys.executable, "-m", "storekeeper", *arguments, "--dir", str(folder / "stack")]
    subprocess.run(program, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def _emptied(engine: sa.Engine, table: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(f"TRUNCATE invest.{table}"))


def _count(engine: sa.Engine, table: str) -> int:
    with engine.begin() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM invest.{table}")).scalar_one())


def _ticks(path: Path) -> Path:
    """Quote ticks of one pair: irregular milliseconds, five decimals, one in ten with the bid above the ask."""
    random = np.random.default_rng(20140501)
    with gzip.open(path, "wt", compresslevel=6, newline="") as file:
        file.write("ts_utc,market,symbol,bid,ask\n")
        mid = 138_727
        for day in range(_DAYS):
            start = np.datetime64("2014-05-01", "ms") + np.timedelta64(day, "D")
            moments = start + np.sort(random.choice(86_400_000, _TICKS_A_DAY, replace=False)).astype("timedelta64[ms]")
            mids = mid + random.integers(-2, 3, _TICKS_A_DAY).cumsum()
            spreads = random.choice([-1, 0, 1, 2, 3], _TICKS_A_DAY, p=[0.1, 0.12, 0.3, 0.3, 0.18])
            mid = int(mids[-1])
            lines = zip(np.datetime_as_string(moments).tolist(), mids.tolist(), (mids + spreads).tolist(), strict=True)
            file.writelines(f"{at}Z,fxcm,EURUSD,{bid / 1e5:.5f},{ask / 1e5:.5f}\n" for at, bid, ask in lines)
    return path


def _daily(path: Path) -> Path:
    """Daily bars of many symbols; every archive has the day before again, some of it corrected."""
    random = np.random.default_rng(20160104)
    first = datetime(2016, 1, 1, tzinfo=UTC)

    def bars(archive: int) -> Iterator[str]:
        for day in (archive - 1, archive):
            closes = random.uniform(5, 500, _SYMBOLS)
            for number, close in enumerate(closes):
                date = first + timedelta(days=day)
                low, high = close * 0.99, close * 1.01
                yield (
                    f"A{number:04d},{date:%Y-%m-%d},{close:.2f},{high:.2f},{low:.2f},{close:.2f},"
                    f"{int(close * 1000)},{close:.6f},{first + timedelta(days=archive):%Y-%m-%d}\n"
                )

    with gzip.open(path, "wt", compresslevel=6, newline="") as file:
        file.write("symbol,date,open,high,low,close,volume,adj_close,archive_date\n")
        for archive in range(1, _ARCHIVES + 1):
            file.writelines(bars(archive))
    return path
