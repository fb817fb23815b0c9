"""The time series of the invest domain: four hypertables, and the rollups of intraday prices."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper import NAMING_CONVENTION, Flag, Hypertable, Rollup, days, hours, minutes, ohlcv, years

METADATA = sa.MetaData(schema="invest", naming_convention=NAMING_CONVENTION)

_PRICE = sa.Numeric(18, 6)
_MONEY = sa.Numeric(15, 2)
_PERCENT = sa.Numeric(7, 4)
_SYMBOL = sa.String(32)
_TIME = sa.DateTime(timezone=True)

stock_prices = sa.Table(
    "stock_prices",
    METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("symbol", _SYMBOL, nullable=False),
    sa.Column("open", _PRICE, nullable=False),
    sa.Column("high", _PRICE, nullable=False),
    sa.Column("low", _PRICE, nullable=False),
    sa.Column("close", _PRICE, nullable=False),
    sa.Column("volume", sa.BigInteger, nullable=False),
    sa.Column("adjusted_close", _PRICE),
    sa.CheckConstraint("open > 0 AND high > 0 AND low > 0 AND close > 0", name="check_price_positive"),
    sa.CheckConstraint("high >= low", name="check_high_low"),
    sa.CheckConstraint("volume >= 0", name="check_volume_positive"),
)
sa.Index("idx_stock_prices_symbol_time", stock_prices.c.symbol, stock_prices.c.time.desc(), unique=True)
sa.Index("idx_stock_prices_time", stock_prices.c.time.desc())

intraday_prices = sa.Table(
    "intraday_prices",
    METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("symbol", _SYMBOL, nullable=False),
    sa.Column("price", _PRICE, nullable=False),
    sa.Column("volume", sa.Numeric(24, 8), nullable=False),
    sa.Column("bid", _PRICE),
    sa.Column("ask", _PRICE),
    sa.CheckConstraint("price > 0", name="check_price_positive"),
)
sa.Index("idx_intraday_symbol_time", intraday_prices.c.symbol, intraday_prices.c.time.desc(), unique=True)

portfolio_snapshots = sa.Table(
    "portfolio_snapshots",
    METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("portfolio_id", sa.Uuid, nullable=False),
    sa.Column("total_value", _MONEY, nullable=False),
    sa.Column("cash_balance", _MONEY, nullable=False, server_default=sa.text("0.00")),
    sa.Column("total_gain", _MONEY),
    sa.Column("total_gain_percent", _PERCENT),
    sa.Column("day_change", _MONEY),
    sa.Column("day_change_percent", _PERCENT),
    sa.Column("asset_allocation", JSONB),
    sa.CheckConstraint("total_value >= 0", name="check_total_value"),
)
sa.Index(
    "idx_portfolio_snapshots_id_time",
    portfolio_snapshots.c.portfolio_id,
    portfolio_snapshots.c.time.desc(),
    unique=True,
)

market_indices = sa.Table(
    "market_indices",
    METADATA,
    sa.Column("time", _TIME, nullable=False),
    sa.Column("index_symbol", _SYMBOL, nullable=False),
    sa.Column("value", _PRICE, nullable=False),
    sa.Column("change", _PRICE),
    sa.Column("change_percent", _PERCENT),
    sa.Column("volume", sa.BigInteger),
)
sa.Index("idx_market_indices_symbol_time", market_indices.c.index_symbol, market_indices.c.time.desc(), unique=True)


STOCK_PRICES = Hypertable(  # daily bars, kept for ever
    stock_prices,
    time="time",
    natural_key=("symbol", "time"),
    chunk=years(1),
    segment_by=("symbol",),
    order_by=("time DESC",),
    compress_after=years(1),
)
INTRADAY_PRICES = Hypertable(  # minutes; each rollup is made from the one before it
    intraday_prices,
    time="time",
    natural_key=("symbol", "time"),
    chunk=days(1),
    segment_by=("symbol",),
    order_by=("time DESC",),
    compress_after=days(7),
    drop_after=days(30),
    rollups=(
        Rollup(
            "stock_prices_5min",
            every=minutes(5),
            by=("symbol",),
            measures=ohlcv("price", "volume"),
            keep=years(1),
        ),
        Rollup("stock_prices_1h", every=hours(1), by=("symbol",), measures=ohlcv("price", "volume")),
    ),
    flags=(Flag("bid_over_ask", intraday_prices.c.bid > intraday_prices.c.ask),),
)
PORTFOLIO_SNAPSHOTS = Hypertable(  # portfolio_id refers to another store's row: no foreign key
    portfolio_snapshots,
    time="time",
    natural_key=("portfolio_id", "time"),
    chunk=days(30),
    segment_by=("portfolio_id",),
    order_by=("time DESC",),
    compress_after=years(1),
)
MARKET_INDICES = Hypertable(
    market_indices,
    time="time",
    natural_key=("index_symbol", "time"),
    chunk=days(30),
    segment_by=("index_symbol",),
    order_by=("time DESC",),
    compress_after=days(90),
)
