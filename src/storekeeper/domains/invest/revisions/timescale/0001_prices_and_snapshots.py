"""Daily and intraday prices with their rollups, snapshots of portfolios, and market indices."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper import Aggregate, Hypertable, Measure, Rollup, days, hours, minutes, years
from storekeeper.migrations.operations import (
    create_hypertable,
    create_rollup,
    create_schema,
    drop_hypertable,
    drop_rollup,
    drop_schema_if_empty,
)

revision = "invest_0001"
down_revision = None
branch_labels = ("invest",)
depends_on = None

MEASURES = (
    Measure("open", Aggregate.FIRST, ("price",)),
    Measure("high", Aggregate.MAX, ("price",)),
    Measure("low", Aggregate.MIN, ("price",)),
    Measure("close", Aggregate.LAST, ("price",)),
    Measure("volume", Aggregate.SUM, ("volume",)),
    Measure("notional", Aggregate.SUM_PRODUCT, ("price", "volume")),
    Measure("count", Aggregate.COUNT),
)


def stock_prices() -> Hypertable:
    table = sa.Table(
        "stock_prices",
        sa.MetaData(schema="invest"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("open", sa.Numeric(18, 6), nullable=False),
        sa.Column("high", sa.Numeric(18, 6), nullable=False),
        sa.Column("low", sa.Numeric(18, 6), nullable=False),
        sa.Column("close", sa.Numeric(18, 6), nullable=False),
        sa.Column("volume", sa.BigInteger, nullable=False),
        sa.Column("adjusted_close", sa.Numeric(18, 6)),
        sa.CheckConstraint("open > 0 AND high > 0 AND low > 0 AND close > 0", name="check_price_positive"),
        sa.CheckConstraint("high >= low", name="check_high_low"),
        sa.CheckConstraint("volume >= 0", name="check_volume_positive"),
    )
    sa.Index("idx_stock_prices_symbol_time", table.c.symbol, table.c.time.desc(), unique=True)
    sa.Index("idx_stock_prices_time", table.c.time.desc())
    return Hypertable(
        table,
        time="time",
        natural_key=("symbol", "time"),
        chunk=years(1),
        segment_by=("symbol",),
        order_by=("time DESC",),
    )


def intraday_prices() -> Hypertable:
    table = sa.Table(
        "intraday_prices",
        sa.MetaData(schema="invest"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("price", sa.Numeric(18, 6), nullable=False),
        sa.Column("volume", sa.Numeric(24, 8), nullable=False),
        sa.Column("bid", sa.Numeric(18, 6)),
        sa.Column("ask", sa.Numeric(18, 6)),
        sa.CheckConstraint("price > 0", name="check_price_positive"),
    )
    sa.Index("idx_intraday_symbol_time", table.c.symbol, table.c.time.desc(), unique=True)
    return Hypertable(
        table,
        time="time",
        natural_key=("symbol", "time"),
        chunk=days(1),
        segment_by=("symbol",),
        order_by=("time DESC",),
        rollups=(
            Rollup("stock_prices_5min", every=minutes(5), by=("symbol",), measures=MEASURES, chunk=days(30)),
            Rollup("stock_prices_1h", every=hours(1), by=("symbol",), measures=MEASURES, chunk=years(1)),
        ),
    )


def portfolio_snapshots() -> Hypertable:
    table = sa.Table(
        "portfolio_snapshots",
        sa.MetaData(schema="invest"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("portfolio_id", sa.Uuid, nullable=False),
        sa.Column("total_value", sa.Numeric(15, 2), nullable=False),
        sa.Column("cash_balance", sa.Numeric(15, 2), nullable=False, server_default=sa.text("0.00")),
        sa.Column("total_gain", sa.Numeric(15, 2)),
        sa.Column("total_gain_percent", sa.Numeric(7, 4)),
        sa.Column("day_change", sa.Numeric(15, 2)),
        sa.Column("day_change_percent", sa.Numeric(7, 4)),
        sa.Column("asset_allocation", JSONB),
        sa.CheckConstraint("total_value >= 0", name="check_total_value"),
    )
    sa.Index("idx_portfolio_snapshots_id_time", table.c.portfolio_id, table.c.time.desc(), unique=True)
    return Hypertable(
        table,
        time="time",
        natural_key=("portfolio_id", "time"),
        chunk=days(30),
        segment_by=("portfolio_id",),
        order_by=("time DESC",),
    )


def market_indices() -> Hypertable:
    table = sa.Table(
        "market_indices",
        sa.MetaData(schema="invest"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("index_symbol", sa.String(32), nullable=False),
        sa.Column("value", sa.Numeric(18, 6), nullable=False),
        sa.Column("change", sa.Numeric(18, 6)),
        sa.Column("change_percent", sa.Numeric(7, 4)),
        sa.Column("volume", sa.BigInteger),
    )
    sa.Index("idx_market_indices_symbol_time", table.c.index_symbol, table.c.time.desc(), unique=True)
    return Hypertable(
        table,
        time="time",
        natural_key=("index_symbol", "time"),
        chunk=days(30),
        segment_by=("index_symbol",),
        order_by=("time DESC",),
    )


def upgrade() -> None:
    create_schema("invest")
    create_hypertable(stock_prices())
    create_hypertable(intraday_prices())
    create_rollup(intraday_prices(), "stock_prices_5min")
    create_rollup(intraday_prices(), "stock_prices_1h")
    create_hypertable(portfolio_snapshots())
    create_hypertable(market_indices())


def downgrade() -> None:
    drop_hypertable(market_indices())
    drop_hypertable(portfolio_snapshots())
    drop_rollup(intraday_prices(), "stock_prices_1h")
    drop_rollup(intraday_prices(), "stock_prices_5min")
    drop_hypertable(intraday_prices())
    drop_hypertable(stock_prices())
    drop_schema_if_empty("invest")
