"""The jobs of the invest domain: what no request does, over the rows of all users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import Action, DomainJob, Platform, minutes
from storekeeper.domains.invest.effects import TriggeredAlert
from storekeeper.domains.invest.entities import PriceAlert
from storekeeper.domains.invest.operations.alerts import evaluate
from storekeeper.domains.invest.series import INTRADAY_PRICES, STOCK_PRICES
from storekeeper.domains.invest.ticks import Tick

#: Ticks that a run looks at: those of the runs before it too, since ticks come late.
WINDOW = minutes(10)

PRICE_ALERTS = DomainJob(
    "invest.price-alerts",
    "storekeeper.domains.invest.jobs:alert_of_prices",
    minutes(1),
    "triggers the price alerts that the ticks of the last minutes meet, each once",
    quiet=True,
)

JOBS = (PRICE_ALERTS,)


def alert_of_prices(platform: Platform, *, as_of: datetime, dry_run: bool) -> Iterator[Action]:
    """Yields an action for each symbol of which alerts were triggered; a change is against the last daily close.

    In a dry run the alerts are triggered, counted and taken back.
    """
    watched = sa.select(PriceAlert.symbol).where(PriceAlert.is_active).distinct().order_by(PriceAlert.symbol)
    with platform.postgres.session(timeout=None, operation="evaluate", target="invest.price_alerts") as session:
        symbols = session.scalars(watched).all()
    for symbol in symbols:
        ticks = _ticks(platform, symbol, as_of)
        triggered = _evaluated(platform, ticks, as_of, dry_run=dry_run) if ticks else ()
        if triggered:
            yield Action("trigger", f"alerts of {symbol}", rows=len(triggered))


def _ticks(platform: Platform, symbol: str, as_of: datetime) -> list[Tick]:
    """The ticks of the window in order of time."""
    rows = platform.timescale.raw(
        INTRADAY_PRICES, start=WINDOW.before(as_of), end=as_of, where={"symbol": [symbol]}, exact=True
    ).to_pylist()
    if not rows:
        return []
    closes = platform.timescale.raw(
        STOCK_PRICES, end=as_of, where={"symbol": [symbol]}, limit=1, exact=True, newest_first=True
    ).to_pylist()
    reference = closes[0]["close"] if closes else None
    return [Tick(symbol, row["time"], row["price"], row["volume"], reference) for row in rows]


def _evaluated(platform: Platform, ticks: list[Tick], as_of: datetime, *, dry_run: bool) -> tuple[TriggeredAlert, ...]:
    if not dry_run:
        return platform.postgres.perform(
            partial(_evaluate, ticks=ticks, at=as_of), timeout=None, operation="evaluate", target="invest.price_alerts"
        )
    with platform.postgres.session(timeout=None, operation="evaluate", target="invest.price_alerts") as session:
        with session.begin_nested() as taken_back:
            triggered = evaluate(session, ticks, at=as_of)
            taken_back.rollback()
    return triggered


def _evaluate(session: Session, *, ticks: list[Tick], at: datetime) -> tuple[TriggeredAlert, ...]:
    return evaluate(session, ticks, at=at)
