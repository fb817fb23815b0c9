"""The time series of the deals domain: what each deal cost, as each source saw it, and its days."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from storekeeper import NAMING_CONVENTION, Aggregate, Hypertable, Measure, Rollup, days

METADATA = sa.MetaData(schema="deals", naming_convention=NAMING_CONVENTION)

price_tracking = sa.Table(
    "price_tracking",
    METADATA,
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
sa.Index("ix_price_tracking_deal", price_tracking.c.deal_id, price_tracking.c.tracked_at.desc())
sa.Index(
    "uq_price_tracking_key",
    price_tracking.c.deal_id,
    price_tracking.c.source,
    price_tracking.c.tracked_at,
    unique=True,
)
sa.Index("ix_price_tracking_source", price_tracking.c.source)

PRICE_TRACKING = Hypertable(  # deal_id refers to another store's row: no foreign key
    price_tracking,
    time="tracked_at",
    natural_key=("deal_id", "source", "tracked_at"),
    chunk=days(7),
    segment_by=("deal_id",),
    order_by=("tracked_at DESC",),
    compress_after=days(30),
    rollups=(
        Rollup(
            "price_tracking_1d",
            every=days(1),
            by=("deal_id",),
            measures=(
                Measure("open", Aggregate.FIRST, ("price",)),
                Measure("high", Aggregate.MAX, ("price",)),
                Measure("low", Aggregate.MIN, ("price",)),
                Measure("close", Aggregate.LAST, ("price",)),
                Measure("count", Aggregate.COUNT),
            ),
        ),
    ),
)
