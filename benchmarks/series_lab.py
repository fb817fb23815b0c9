"""What the measurements of time series share: a server, the platform on it, and two million minute bars.

On the TimescaleDB server of STOREKEEPER_TEST_TIMESCALE_URL (a superuser's, scratch), in a database of its own that is
dropped afterwards. Without it on plain partitions, on servers that are started here.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pandas as pd
import psycopg
import sqlalchemy as sa
from psycopg import sql

from storekeeper import NAMING_CONVENTION, Hypertable, Platform, connect, days
from storekeeper.migrations import apply
from storekeeper.servers import running_stack

DATASET = "invest.intraday_prices"
URL = "STOREKEEPER_TEST_TIMESCALE_URL"
START = datetime(2024, 1, 1, tzinfo=UTC)
#: 46 symbols for 30 days: 1,987,200 minute bars.
SYMBOLS, DAYS = 46, 30
COLUMNS = "time, symbol, price, volume, bid, ask"

_metadata = sa.MetaData(schema="invest", naming_convention=NAMING_CONVENTION)
_ticks = sa.Table(
    "bench_ticks",
    _metadata,
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("symbol", sa.String(32), nullable=False),
    sa.Column("price", sa.Numeric(18, 6), nullable=False),
    sa.Column("volume", sa.Numeric(24, 8), nullable=False),
    sa.Column("bid", sa.Numeric(18, 6)),
    sa.Column("ask", sa.Numeric(18, 6)),
)
sa.Index("idx_bench_ticks", _ticks.c.symbol, _ticks.c.time.desc())
#: The same rows in a dataset without a natural key: indexed, nothing unique, nothing rolled up.
KEYLESS = Hypertable(
    _ticks,
    time="time",
    chunk=days(1),
    segment_by=("symbol",),
    order_by=("time DESC",),
    compress_after=days(7),
)


@dataclass(frozen=True)
class Lab:
    """The platform, the URL of its series for other drivers, and a folder for files."""

    platform: Platform
    url: str
    folder: Path

    @property
    def engine(self) -> str:
        return self.platform.timescale.engine.name

    def emptied(self, *tables: str) -> None:
        """Takes every row away, and every chunk with it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for table in tables or ("invest.intraday_prices",):
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(*table.split("."))))
            connection.execute("TRUNCATE storekeeper.invalidations")

    def loaded(self, frame: pd.DataFrame) -> None:
        """These rows, and no others, are there, and known to the server's planner."""
        self.emptied()
        self.platform.timescale.append(DATASET, frame, timeout=None)
        self.settled()

    def settled(self) -> None:
        """Does at once what the server would do by itself in the middle of what is timed."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


@contextmanager
def lab() -> Iterator[Lab]:
    """Everything, opened, migrated and empty."""
    server = os.environ.get(URL)
    name = f"bench_{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        if server is None:
            with _platform(stack.urls.postgres_as("owner"), Path(folder)) as platform:
                yield Lab(platform, stack.urls.postgres, Path(folder))
            return
        url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        with psycopg.connect(server, autocommit=True) as administrator:
            administrator.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                with _platform(url, Path(folder)) as platform:
                    yield Lab(platform, url, Path(folder))
            finally:
                administrator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _platform(timescale: str, folder: Path) -> Iterator[Platform]:
    """As its owner, who may make chunks and drop them; the other stores are those of the stack."""
    with connect(
        role="owner",
        directory=folder,
        root=folder,
        timescale_url=timescale,
        timescale_owner_url=timescale,
        archive=str(folder / "cold"),
    ) as platform:
        apply(platform)
        with platform.timescale.pool.begin(timeout=None) as connection:
            for statement in platform.timescale.engine.create_hypertable(KEYLESS):
                connection.execute(statement.clause())
        yield platform


def bars_of(symbols: int, days: int, *, every: timedelta = timedelta(minutes=1), seed: int = 20240101) -> pd.DataFrame:
    """Bars as they come in, time by time: prices in cents, in steps of a random walk, from a fixed seed."""
    random = np.random.default_rng(seed)
    times = pd.date_range(START, START + timedelta(days=days), freq=every, inclusive="left").as_unit("us")
    names = np.array([f"SYM{number:03d}" for number in range(symbols)], dtype=object)
    price = (100 + random.normal(0, 0.01, (len(times), symbols)).cumsum(axis=0)).round(2).ravel()
    return pd.DataFrame(
        {
            "time": times.repeat(symbols),
            "symbol": np.tile(names, len(times)),
            "price": price,
            "volume": random.integers(1, 10_000, price.size).astype(float),
            "bid": (price - 0.01).round(2),
            "ask": (price + 0.01).round(2),
        }
    )
