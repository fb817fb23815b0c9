"""A deal shows the price that was seen last, its discount and its status; the history has every sighting once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from deals_domain import MOMENT, administrator, offer, shop, stored
from storekeeper import InputError, NotFoundError, connect_async
from storekeeper.domains.deals.entities import Deal
from storekeeper.domains.deals.errors import WithdrawnDealError
from storekeeper.domains.deals.operations.prices_async import Sighting, record_price
from storekeeper.stores.postgres.postgres_async import AsyncPostgres

RECORDED = sa.text(
    "SELECT payload FROM storekeeper.outbox WHERE effect = 'deals.price_recorded' AND key = :key ORDER BY id"
)


@pytest.fixture
async def postgres(app_url: str) -> AsyncIterator[AsyncPostgres]:
    async with connect_async(stores=("postgres",), postgres_url=app_url, timescale_url=app_url) as platform:
        yield platform.postgres


def a_deal(url: str, **given: Any) -> Deal:
    market = shop()
    deal = offer(market.id, **given)
    stored(url, market, deal)
    return deal


def history(url: str, deal_id: UUID) -> list[tuple[datetime, str, Decimal]]:
    """What the relay is told to put into the history, in order."""
    with administrator(url) as session:
        rows = session.scalars(RECORDED, {"key": f"deal:{deal_id}"}).all()
    return [(datetime.fromisoformat(row["tracked_at"]), row["source"], Decimal(row["price"])) for row in rows]


SIGHTINGS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["ebay", "api"]), st.decimals("0.01", 200, places=2)), max_size=8
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=SIGHTINGS, original=st.none() | st.decimals("0.01", 100, places=2), life=st.none() | st.integers(0, 6))
async def test_it_is_what_was_seen_last(
    postgres: AsyncPostgres,
    migrated_url: str,
    seen: list[tuple[int, str, Decimal]],
    original: Decimal | None,
    life: int | None,
) -> None:
    expires_at = None if life is None else MOMENT + timedelta(hours=life)
    deal = a_deal(migrated_url, original_price=original, expires_at=expires_at, status="sold_out")
    expected = []
    for hour, source, price in seen:
        sighting = Sighting(deal_id=deal.id, price=price, source=source, seen_at=MOMENT + timedelta(hours=hour))
        async with postgres.session() as session:
            await record_price(session, sighting)
        expected.append((sighting.seen_at, source, price))
    async with postgres.session() as session:
        now = await session.scalar(sa.select(Deal).where(Deal.id == deal.id))
    assert now is not None
    assert history(migrated_url, deal.id) == expected
    if not seen:
        assert now.status == "sold_out"
        return
    latest = max(enumerate(seen), key=lambda pair: (pair[1][0], pair[0]))[1]
    assert (now.current_price, now.last_checked_at) == (latest[2], MOMENT + timedelta(hours=latest[0]))
    assert now.status == ("expired" if life is not None and life <= latest[0] else "active")
    if original is None:
        assert now.discount_percent is None
    else:
        assert now.discount_percent is not None
        assert abs(now.discount_percent - max((1 - latest[2] / original) * 100, Decimal(0))) <= Decimal("0.005")


async def test_nothing_is_recorded_of_a_deal_that_was_withdrawn(postgres: AsyncPostgres, migrated_url: str) -> None:
    for status in ("removed", "invalid", "deleted"):
        deal = a_deal(migrated_url, status=status)
        async with postgres.session() as session:
            with pytest.raises(WithdrawnDealError, match=status):
                await record_price(session, Sighting(deal_id=deal.id, price=Decimal(1), source="api", seen_at=MOMENT))
        assert history(migrated_url, deal.id) == []


async def test_a_price_in_another_currency_is_refused(postgres: AsyncPostgres, migrated_url: str) -> None:
    deal = a_deal(migrated_url, currency="EUR")
    async with postgres.session() as session:
        seen = Sighting(deal_id=deal.id, price=Decimal(1), source="api", seen_at=MOMENT, currency="USD")
        with pytest.raises(InputError, match="EUR"):
            await record_price(session, seen)


async def test_there_must_be_a_deal(postgres: AsyncPostgres, migrated_url: str) -> None:
    async with postgres.session() as session:
        with pytest.raises(NotFoundError):
            await record_price(session, Sighting(deal_id=uuid4(), price=Decimal(1), source="api", seen_at=MOMENT))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"price": Decimal(price)} for price in ("0", "-1", "1.001", "NaN", "Infinity", "100000000")),
        {"source": "hearsay"},
        {"seen_at": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)},
    ],
)
def test_what_is_no_sighting_is_refused_before_it_is_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Sighting(**{"deal_id": uuid4(), "price": Decimal(1), "source": "api", "seen_at": MOMENT, **wrong})
