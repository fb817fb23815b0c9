"""What is recorded of prices comes to the time-series store by the relay, each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from deals_domain import MOMENT, offer, shop, stored
from storekeeper import Platform, connect
from storekeeper.domains.deals.effects import PRICE_RECORDED, PriceSeen
from storekeeper.domains.deals.operations.prices import Sighting, record_price
from storekeeper.relay import deliver


@pytest.fixture
def platform(app_url: str, owner_url: str, jobs_url: str) -> Iterator[Platform]:
    urls: dict[str, Any] = {
        f"{store}{role}_url": url
        for store in ("postgres", "timescale")
        for role, url in (("", app_url), ("_owner", owner_url), ("_jobs", jobs_url))
    }
    with connect(stores=("postgres", "timescale"), role="jobs", **urls) as platform:
        yield platform


def test_a_history_holds_each_sighting_once(platform: Platform, migrated_url: str) -> None:
    market = shop()
    deal = offer(market.id)
    stored(migrated_url, market, deal)
    for hours, price in ((0, "9.50"), (1, "8.00"), (1, "8.00"), (2, "8.25")):
        seen = Sighting(deal_id=deal.id, price=Decimal(price), source="ebay", seen_at=MOMENT + timedelta(hours=hours))
        with platform.postgres.session() as session:
            record_price(session, seen)
    delivered = deliver(platform)
    assert (delivered.failed, delivered.left) == (0, 0)
    rows = platform.timescale.raw(
        "deals.price_tracking", start=MOMENT, end=MOMENT + timedelta(days=1), where={"deal_id": [deal.id]}, exact=True
    ).to_pylist()
    assert [(row["tracked_at"] - MOMENT, row["price"]) for row in rows] == [
        (timedelta(hours=0), Decimal("9.50")),
        (timedelta(hours=1), Decimal("8.00")),
        (timedelta(hours=2), Decimal("8.25")),
    ]
    assert PRICE_RECORDED.payload is PriceSeen
