"""What deals cost, and the days of it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper import Aggregate, Hypertable, Measure, Rollup, days, years
from storekeeper.migrations.operations import (
    create_hypertable,
    create_rollup,
    create_schema,
    drop_hypertable,
    drop_rollup,
    drop_schema_if_empty,
)

revision = "deals_0001"
down_revision = None
branch_labels = ("deals",)
depends_on = None

MEASURES = (
    Measure("open", Aggregate.FIRST, ("price",)),
    Measure("high", Aggregate.MAX, ("price",)),
    Measure("low", Aggregate.MIN, ("price",)),
    Measure("close", Aggregate.LAST, ("price",)),
    Measure("count", Aggregate.COUNT),
)


def price_tracking() -> Hypertable:
    table = sa.Table(
        "price_tracking",
        sa.MetaData(schema="deals"),
        sa.Column("tracked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("deal_id", sa.Uuid, nullable=False),
        sa.Column("price", sa.Numeric(10, 2), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False, server_default="USD"),
        sa.Column("source", sa.String(50), nullable=False),
        sa.Column("meta_data", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.CheckConstraint("price > 0", name="price_tracking_price_check"),
        sa.CheckConstraint(
            "source IN ('amazon','walmart','ebay','target','bestbuy','manual','api','scraper','user','agent')",
            name="price_tracking_source_check",
        ),
    )
    sa.Index("ix_price_tracking_deal", table.c.deal_id, table.c.tracked_at.desc())
    sa.Index("uq_price_tracking_key", table.c.deal_id, table.c.source, table.c.tracked_at, unique=True)
    sa.Index("ix_price_tracking_source", table.c.source)
    return Hypertable(
        table,
        time="tracked_at",
        natural_key=("deal_id", "source", "tracked_at"),
        chunk=days(7),
        segment_by=("deal_id",),
        order_by=("tracked_at DESC",),
        rollups=(Rollup("price_tracking_1d", every=days(1), by=("deal_id",), measures=MEASURES, chunk=years(1)),),
    )


def upgrade() -> None:
    create_schema("deals")
    create_hypertable(price_tracking())
    create_rollup(price_tracking(), "price_tracking_1d")


def downgrade() -> None:
    drop_rollup(price_tracking(), "price_tracking_1d")
    drop_hypertable(price_tracking())
    drop_schema_if_empty("deals")
