"""Applies the deals domain's effects: what the relay calls. Each may be called again, and changes nothing then."""

from __future__ import annotations

from sqlalchemy.orm import Session

from storekeeper import Delivery, NotFoundError, Platform
from storekeeper.domains.deals.effects import DealChanged, PriceSeen
from storekeeper.domains.deals.operations.matching import match
from storekeeper.domains.deals.operations.notifications import Notice, notify
from storekeeper.domains.deals.series import PRICE_TRACKING


def track_price(platform: Platform, payload: PriceSeen, _: Delivery) -> None:
    """Adds a price to the history of its deal; of several by one source at one moment the last one holds."""
    platform.timescale.upsert(PRICE_TRACKING, [payload.model_dump()])


def match_deal(platform: Platform, payload: DealChanged, _: Delivery) -> None:
    """Matches a deal to the goals of all users, and tells those who asked to be told of a score that it reaches.

    Both in one transaction: done again, a match is not new, and nobody is told twice. A deal that is gone needs none.
    """
    at = platform.clock.now()

    def matched(session: Session) -> None:
        for found in match(session, payload.deal_id, at=at):
            if found.new and found.threshold is not None and found.score >= found.threshold:
                notice = Notice(
                    found.user_id,
                    "deal",
                    "A deal for your goal",
                    f"A deal was found that serves it to {found.score} percent",
                    goal_id=found.goal_id,
                    deal_id=payload.deal_id,
                )
                notify(session, notice, at=at)

    try:
        platform.postgres.perform(matched, timeout=None, operation="match deal", target=str(payload.deal_id))
    except NotFoundError:
        return
