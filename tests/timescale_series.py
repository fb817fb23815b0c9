"""Series for tests of the time-series store, and a database made ready for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateIndex, CreateTable

from storekeeper.catalog import Catalog, Domain, Hypertable, Rollup, ohlcv
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.ledger.tables import TIMESCALE
from storekeeper.settings import SqlPool
from storekeeper.span import days, hours, minutes, years
from storekeeper.timescale.capture import create_functions
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.statement import Statement

_METADATA = sa.MetaData(schema="lab", naming_convention=NAMING_CONVENTION)
_TIME = sa.DateTime(timezone=True)
_PRICE = sa.Numeric(18, 6)

_ticks = sa.Table(
    "ticks",
    _METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("symbol", sa.String(32), nullable=False),
    sa.Column("price", _PRICE, nullable=False),
    sa.Column("volume", sa.Numeric(24, 8), nullable=False),
    sa.Column("bid", _PRICE),
    sa.Column("ask", _PRICE),
    sa.CheckConstraint("price > 0", name="check_price_positive"),
)
sa.Index("idx_ticks_symbol_time", _ticks.c.symbol, _ticks.c.time.desc(), unique=True)

#: As invest.intraday_prices: rows 30 days, 5-minute buckets a year, hours for ever.
TICKS = Hypertable(
    _ticks,
    time="time",
    natural_key=("symbol", "time"),
    chunk=days(1),
    segment_by=("symbol",),
    order_by=("time DESC",),
    compress_after=days(7),
    drop_after=days(30),
    rollups=(
        Rollup("ticks_5min", every=minutes(5), by=("symbol",), measures=ohlcv("price", "volume"), keep=years(1)),
        Rollup("ticks_1h", every=hours(1), by=("symbol",), measures=ohlcv("price", "volume")),
    ),
)

_readings = sa.Table(
    "Readings",  # a name that needs quotes, a key of two columns, columns of many types, no retention
    _METADATA,
    sa.Column("at", _TIME, nullable=False),
    sa.Column("station", sa.Uuid, nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("note", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
)
sa.Index("idx_readings", _readings.c.station, _readings.c.kind, _readings.c.at.desc(), unique=True)

READINGS = Hypertable(_readings, time="at", natural_key=("station", "kind", "at"), chunk=years(1))

_candles = sa.Table(
    "candles",
    _METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("symbol", sa.String(32), nullable=False),
    *(sa.Column(name, _PRICE, nullable=False) for name in ("open", "high", "low", "close")),
    sa.Column("volume", sa.BigInteger, nullable=False),
)
sa.Index("idx_candles", _candles.c.symbol, _candles.c.time.desc(), unique=True)

CANDLES = Hypertable(_candles, time="time", natural_key=("symbol", "time"), chunk=years(1))

_late = sa.Table(
    "late",  # late rows are kept outside the rollup; no natural key; a bucket longer than a chunk
    _METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("sensor", sa.Text, nullable=False),
    sa.Column("value", sa.Numeric(12, 3), nullable=False),
    sa.Column("weight", sa.Float, nullable=False),
)

LATE = Hypertable(
    _late,
    time="time",
    chunk=days(1),
    segment_by=("sensor",),
    drop_after=days(10),
    late_rows="keep",
    rollups=(Rollup("late_weekly", every=days(7), by=("sensor",), measures=ohlcv("value", "weight")),),
)

CATALOG = Catalog((Domain("lab", hypertables=(TICKS, READINGS, CANDLES, LATE)),))
POOL = SqlPool(min=1, size=4)


def moment(text: str) -> datetime:
    """'2014-05-07 12:30' in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def prepare(url: str, engine: Engine, hypertables: Iterable[Hypertable] = CATALOG.hypertables) -> None:
    """Makes the platform's own schema and these hypertables in an empty database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script(engine, hypertables).encode())


def script(engine: Engine, hypertables: Iterable[Hypertable] = CATALOG.hypertables) -> str:
    """What makes the platform's own schema and these hypertables in an empty database, as one message."""
    dialect = sa.create_engine("postgresql+psycopg://").dialect
    parts = ["CREATE SCHEMA storekeeper", "CREATE SCHEMA lab"]
    for table in TIMESCALE.sorted_tables:
        parts.append(str(CreateTable(table).compile(dialect=dialect)))
        parts += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    statements = create_functions()
    for hypertable in hypertables:
        statements += engine.create_hypertable(hypertable)
        for rollup in hypertable.rollups:
            statements += engine.create_rollup(hypertable, rollup)
    assert not any(statement.parameters for statement in statements)
    # a text without parameters is sent as it is, but that `%` is written twice in it
    parts += [str(statement.clause().compile(dialect=dialect)).replace("%%", "%") for statement in statements]
    return ";\n".join(parts)


def stored_in(connection: psycopg.Connection[tuple[object, ...]], rollup: str) -> str:
    """The table that holds the rows of a rollup, to be written by hand: a continuous aggregate is a view of another."""
    schema, _, name = rollup.partition(".")
    if connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is None:
        return rollup
    row = connection.execute(
        "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name) "
        "FROM timescaledb_information.continuous_aggregates WHERE view_schema = %s AND view_name = %s",
        (schema, name),
    ).fetchone()
    assert row is not None
    return str(row[0])


def run(connection: psycopg.Connection[tuple[object, ...]], statements: Iterable[Statement]) -> None:
    dialect = sa.create_engine("postgresql+psycopg://").dialect
    for statement in statements:
        compiled = statement.clause().compile(dialect=dialect)
        connection.execute(str(compiled), compiled.params)
