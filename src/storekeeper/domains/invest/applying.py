"""Applies the invest domain's effects: what the relay calls. Each may be called again, and changes nothing then."""

from __future__ import annotations

import sqlalchemy as sa

from storekeeper import Delivery, Platform
from storekeeper.domains.invest.effects import OfPortfolio, OfSession, OfUser, Snapshot, TriggeredAlert
from storekeeper.domains.invest.entities import PriceAlert, UserActivity
from storekeeper.domains.invest.keys import PORTFOLIO, SESSION
from storekeeper.domains.invest.series import PORTFOLIO_SNAPSHOTS, portfolio_snapshots


def forget_portfolio(platform: Platform, payload: OfUser, _: Delivery) -> None:
    """Drops what is cached of a user's portfolio."""
    platform.redis.delete(PORTFOLIO, user_id=payload.user_id)


def forget_session(platform: Platform, payload: OfSession, _: Delivery) -> None:
    """Drops the live session: who comes with it has to be looked up again."""
    platform.redis.delete(SESSION, session_id=payload.session_id)


def append_snapshot(platform: Platform, payload: Snapshot, _: Delivery) -> None:
    """Writes the snapshot; one of the same portfolio and moment is replaced."""
    row = {**payload.model_dump(), "asset_allocation": payload.asset_allocation.model_dump_json()}
    platform.timescale.upsert(PORTFOLIO_SNAPSHOTS, [row])


def delete_snapshots(platform: Platform, payload: OfPortfolio, _: Delivery) -> None:
    """Deletes the snapshots of a portfolio that is no more."""
    with platform.timescale.pool.begin(operation="delete", target=PORTFOLIO_SNAPSHOTS.name) as connection:
        connection.execute(
            sa.delete(portfolio_snapshots).where(portfolio_snapshots.c.portfolio_id == payload.portfolio_id)
        )


def notify(platform: Platform, payload: TriggeredAlert, delivery: Delivery) -> None:
    """Puts the alert among what the user finds in their activities, and notes that they were told: both, once."""
    with platform.postgres.session(
        user_id=payload.user_id, operation="notify", target="invest.price_alerts"
    ) as session:
        told = session.execute(
            sa.update(PriceAlert)
            .where(PriceAlert.id == payload.alert_id, PriceAlert.notified_at.is_(None))
            .values(notified_at=platform.clock.now())
            .returning(PriceAlert.id)
        ).all()
        if told:
            session.add(
                UserActivity(
                    user_id=payload.user_id,
                    activity_type="price_alert",
                    resource_type="price_alerts",
                    resource_id=str(payload.alert_id),
                    details={
                        "symbol": payload.symbol,
                        "price": str(payload.price),
                        "time": payload.time.isoformat(),
                        "delivery": delivery.position,
                    },
                )
            )
