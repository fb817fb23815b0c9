# Generated from valuation_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What a portfolio is worth: its assets at the latest prices, and the snapshot of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import Platform, record
from storekeeper.domains.invest import effects, queries
from storekeeper.domains.invest.entities import PortfolioAsset
from storekeeper.domains.invest.operations.acting import locked_portfolio
from storekeeper.domains.invest.positions import Position
from storekeeper.domains.invest.series import INTRADAY_PRICES, PORTFOLIO_SNAPSHOTS, STOCK_PRICES
from storekeeper.domains.invest.worth import Held, Price, Total, Worth, total, worth


@dataclass(frozen=True, slots=True)
class Valuation:
    """A portfolio as it was valued `at`; `unpriced` are the symbols that no price is known of, and count at cost."""

    portfolio_id: UUID
    at: datetime
    total: Total
    unpriced: tuple[str, ...]


def value_portfolio(
    session: Session,
    portfolio_id: UUID,
    prices: Mapping[str, Price],
    *,
    at: datetime,
    before: Decimal | None = None,
) -> Valuation:
    """Values each asset by its price, and records the snapshot of the whole.

    A price that is older than the one that an asset has, or that is not given, changes nothing: the asset keeps its
    value. `before` is the total with which the days before ended. Raises NotFoundError, InputError.
    """
    portfolio = locked_portfolio(session, portfolio_id, "value")
    assets = (
        session.scalars(
            sa.select(PortfolioAsset)
            .where(PortfolioAsset.portfolio_id == portfolio_id)
            .order_by(PortfolioAsset.symbol)
            .execution_options(populate_existing=True)
        )
    ).all()
    held = []
    changed = []
    for asset in assets:
        price = _newer(asset, prices.get(asset.symbol))
        position = Position(asset.shares, asset.avg_purchase_price)
        value = None if price is None else worth(position, price.price, symbol=asset.symbol)
        held.append(Held(asset.symbol, asset.asset_type, position.cost, value))
        # a price of the same moment may be a corrected one
        known = asset.last_price_update, asset.current_price
        if value is not None and price is not None and (price.time, price.price) != known:
            changed.append((asset.id, price, value))
    if changed:
        session.execute(_updating(changed))
    sum_of_all = total(held, before, target=str(portfolio_id))
    record(
        session,
        effects.PORTFOLIO_VALUED,
        key=effects.of_portfolio(portfolio_id),
        payload=_snapshot(portfolio_id, at, sum_of_all),
    )
    record(
        session,
        effects.PORTFOLIO_CHANGED,
        key=effects.of_user(portfolio.user_id),
        payload=effects.OfUser(user_id=portfolio.user_id),
    )
    return Valuation(portfolio_id, at, sum_of_all, tuple(one.symbol for one in held if one.worth is None))


def value_now(platform: Platform, portfolio_id: UUID, *, user_id: UUID) -> Valuation:
    """Values a user's portfolio by the newest prices of the timescale store, against its last snapshot before today.

    The prices are read first, and no connection is held meanwhile. Raises NotFoundError, InputError.
    """
    at = platform.clock.now()
    with platform.postgres.session(user_id=user_id, operation="value") as session:
        symbols = (session.scalars(queries.symbols_of(portfolio_id))).all()
    prices = latest_prices(platform, symbols) if symbols else {}
    before = _value_before(platform, portfolio_id, at)

    def valued(session: Session) -> Valuation:
        return value_portfolio(session, portfolio_id, prices, at=at, before=before)

    # the same snapshot is the same row: doing it twice is doing it once
    return platform.postgres.perform(valued, user_id=user_id, operation="value", repeatable=True)


def latest_prices(platform: Platform, symbols: Sequence[str]) -> dict[str, Price]:
    """The newest price of each symbol: of a minute, or the close of a day where that is newer."""
    newest: dict[str, Price] = {}
    for series, column in ((STOCK_PRICES, "close"), (INTRADAY_PRICES, "price")):
        rows = platform.timescale.latest(series, sorted(symbols), exact=True)
        for row in rows.select(["symbol", "time", column]).to_pylist():
            known = newest.get(row["symbol"])
            if known is None or known.time < row["time"]:
                newest[row["symbol"]] = Price(row[column], row["time"])
    return newest


def _value_before(platform: Platform, portfolio_id: UUID, at: datetime) -> Decimal | None:
    """What the last snapshot before the day (UTC) of `at` says."""
    rows = platform.timescale.raw(
        PORTFOLIO_SNAPSHOTS,
        end=at.replace(hour=0, minute=0, second=0, microsecond=0),
        where={"portfolio_id": [portfolio_id]},
        columns=["total_value"],
        limit=1,
        exact=True,
        newest_first=True,
    )
    values: list[Any] = rows.column("total_value").to_pylist()
    return values[0] if values else None


def _newer(asset: PortfolioAsset, given: Price | None) -> Price | None:
    """The price to value an asset by: what is given, unless what it has is newer."""
    if asset.current_price is None or asset.last_price_update is None:
        return given
    if given is None or given.time < asset.last_price_update:
        return Price(asset.current_price, asset.last_price_update)
    return given


def _updating(changed: Sequence[tuple[UUID, Price, Worth]]) -> sa.UpdateBase:
    """All assets in one statement; what the session has loaded of them follows."""
    columns = (PortfolioAsset.id, *_VALUED)
    new = sa.values(*(sa.column(column.key, column.type) for column in columns), name="new").data(
        [(id_, price.price, worth.value, worth.gain, worth.gain_percent, price.time) for id_, price, worth in changed]
    )
    return (
        sa.update(PortfolioAsset)
        .where(PortfolioAsset.id == new.c.id)
        # a column of nothing but NULL has no type of its own
        .values({column: sa.cast(new.c[column.key], column.type) for column in _VALUED})
        .returning(PortfolioAsset)
        .execution_options(populate_existing=True, synchronize_session=False)
    )


_VALUED = (
    PortfolioAsset.current_price,
    PortfolioAsset.current_value,
    PortfolioAsset.unrealized_gain,
    PortfolioAsset.unrealized_gain_percent,
    PortfolioAsset.last_price_update,
)


def _snapshot(portfolio_id: UUID, at: datetime, value: Total) -> effects.Snapshot:
    return effects.Snapshot(
        portfolio_id=portfolio_id,
        time=at,
        total_value=value.value,
        total_gain=value.gain,
        total_gain_percent=value.gain_percent,
        day_change=value.day_change,
        day_change_percent=value.day_change_percent,
        asset_allocation=value.allocation,
    )
