"""The reads of the deals domain, as statements: each names what it loads. Listings are read by pages.

| listing | by |
| --- | --- |
| `deals_on_offer(…)` | `CHEAPEST`, `NEWEST_DEALS` |
| `goals_of(user_id)` | `NEWEST_GOALS` |
| `matches_of(goal_id)` | `BEST_MATCHES` |
| `saved_deals_of(user_id)` | `LATEST_SAVED` |
| `notifications_of(user_id)` | `LATEST_NOTIFICATIONS` |
| `token_history(user_id)` | `LATEST_TRANSACTIONS` |
| `balance_changes(user_id)` | `LATEST_CHANGES` |
| `chat(user_id)` | `LATEST_SAID` |
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from storekeeper.domains.deals.entities import (
    BalanceChange,
    ChatMessage,
    Deal,
    Goal,
    GoalDeal,
    Market,
    Notification,
    SavedDeal,
    TokenBalance,
    TokenPackage,
    TokenPricing,
    TokenTransaction,
)

#: Orders for pages: each ends in what is unique.
CHEAPEST = (Deal.current_price.asc(), Deal.id.asc())
NEWEST_DEALS = (Deal.created_at.desc(), Deal.id.desc())
NEWEST_GOALS = (Goal.created_at.desc(), Goal.id.desc())
BEST_MATCHES = (GoalDeal.relevance_score.desc(), GoalDeal.deal_id.desc())
LATEST_SAVED = (SavedDeal.saved_at.desc(), SavedDeal.deal_id.desc())
LATEST_NOTIFICATIONS = (Notification.created_at.desc(), Notification.id.desc())
LATEST_TRANSACTIONS = (TokenTransaction.created_at.desc(), TokenTransaction.id.desc())
LATEST_CHANGES = (BalanceChange.created_at.desc(), BalanceChange.id.desc())
LATEST_SAID = (ChatMessage.created_at.desc(), ChatMessage.id.desc())
PACKAGES = (TokenPackage.price_usd.asc(), TokenPackage.id.asc())


def deals_on_offer(
    category: str, *, at: datetime, cheaper_than: Decimal | None = None, market_id: UUID | None = None
) -> sa.Select[Deal]:
    """The active deals of a category that have not expired `at`, each with the name of its market."""
    statement = (
        sa.select(Deal)
        .where(Deal.status == "active", Deal.category == category)
        .where(sa.or_(Deal.expires_at.is_(None), Deal.expires_at > at))
        .options(joinedload(Deal.market).load_only(Market.name))
    )
    if cheaper_than is not None:
        statement = statement.where(Deal.current_price < cheaper_than)
    if market_id is not None:
        statement = statement.where(Deal.market_id == market_id)
    return statement


def goals_of(user_id: UUID, *, status: str | None = None) -> sa.Select[Goal]:
    """A user's goals, or those of one status."""
    statement = sa.select(Goal).where(Goal.user_id == user_id)
    return statement if status is None else statement.where(Goal.status == status)


def matches_of(goal_id: UUID) -> sa.Select[GoalDeal]:
    """The active deals that serve a goal, each with the name of its market."""
    return (
        sa.select(GoalDeal)
        .where(GoalDeal.goal_id == goal_id, GoalDeal.status == "active")
        # until the deal is matched again its matches do not know that it was taken away, or has expired
        .where(GoalDeal.deal.has(Deal.status == "active"))
        .options(
            joinedload(GoalDeal.deal, innerjoin=True).joinedload(Deal.market, innerjoin=True).load_only(Market.name)
        )
    )


def saved_deals_of(user_id: UUID) -> sa.Select[SavedDeal]:
    """What a user keeps for later, each with its deal."""
    return sa.select(SavedDeal).where(SavedDeal.user_id == user_id).options(joinedload(SavedDeal.deal, innerjoin=True))


def notifications_of(user_id: UUID, *, unread: bool = False) -> sa.Select[Notification]:
    """What a user was told, or what of it they have not read."""
    statement = sa.select(Notification).where(Notification.user_id == user_id)
    return statement.where(Notification.read_at.is_(None)) if unread else statement


def token_history(user_id: UUID) -> sa.Select[TokenTransaction]:
    """A user's postings."""
    return sa.select(TokenTransaction).where(TokenTransaction.user_id == user_id)


def balance_changes(user_id: UUID) -> sa.Select[BalanceChange]:
    """How a user's balance became what it is."""
    return sa.select(BalanceChange).where(BalanceChange.user_id == user_id)


def chat(user_id: UUID, *, goal_id: UUID | None = None) -> sa.Select[ChatMessage]:
    """What a user and the assistant said to each other, or said about one goal; `content` is sealed."""
    statement = sa.select(ChatMessage).where(ChatMessage.user_id == user_id)
    return statement if goal_id is None else statement.where(ChatMessage.goal_id == goal_id)


def packages_on_sale() -> sa.Select[TokenPackage]:
    """The packages of tokens that can be bought."""
    return sa.select(TokenPackage).where(TokenPackage.is_active)


def pricing_in_force(service: str, at: datetime) -> sa.Select[TokenPricing]:
    """The prices of a service that are in force `at` a moment, the one that came last first."""
    return (
        sa.select(TokenPricing)
        .where(TokenPricing.service_type == service, TokenPricing.is_active, TokenPricing.valid_from <= at)
        .where(sa.or_(TokenPricing.valid_to.is_(None), TokenPricing.valid_to > at))
        .order_by(TokenPricing.valid_from.desc(), TokenPricing.created_at.desc(), TokenPricing.id.desc())
    )


def unbalanced() -> sa.Select[UUID, Decimal, Decimal, Decimal]:
    """Users whose balance, ledger and history do not say the same: user_id, and the three sums. None, ever."""
    posted = (
        sa.select(TokenTransaction.user_id, sa.func.sum(TokenTransaction.amount).label("tokens"))
        .where(TokenTransaction.status == "completed")
        .group_by(TokenTransaction.user_id)
        .subquery()
    )
    changed = (
        sa.select(BalanceChange.user_id, sa.func.sum(BalanceChange.change_amount).label("tokens"))
        .group_by(BalanceChange.user_id)
        .subquery()
    )
    ledger, history = sa.func.coalesce(posted.c.tokens, 0), sa.func.coalesce(changed.c.tokens, 0)
    return (
        sa.select(TokenBalance.user_id, TokenBalance.balance, ledger, history)
        .outerjoin(posted, posted.c.user_id == TokenBalance.user_id)
        .outerjoin(changed, changed.c.user_id == TokenBalance.user_id)
        .where(
            sa.or_(
                TokenBalance.balance != ledger,
                TokenBalance.balance != history,
                TokenBalance.balance != TokenBalance.lifetime_earned - TokenBalance.lifetime_spent,
            )
        )
    )
