"""What is asked of the invest domain's tables: statements, each naming what it loads. They run in a session.

Listings come with the order by which `page` goes through them: newest first, the id last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import load_only, selectinload

from storekeeper.domains.invest.entities import (
    AiInsight,
    Portfolio,
    PortfolioAsset,
    PriceAlert,
    Session,
    Transaction,
    User,
    UserActivity,
    Watchlist,
)
from storekeeper.domains.invest.positions import RANKS
from storekeeper.domains.invest.ticks import Tick

if TYPE_CHECKING:  # before 2.1 a Select has one parameter
    Steps = sa.Select[UUID, str, str, Decimal, Decimal, datetime]

NEWEST_PORTFOLIO = (Portfolio.created_at.desc(), Portfolio.id.desc())
NEWEST_TRANSACTION = (Transaction.transaction_date.desc(), Transaction.id.desc())
NEWEST_WATCHLIST = (Watchlist.created_at.desc(), Watchlist.id.desc())
NEWEST_ALERT = (PriceAlert.created_at.desc(), PriceAlert.id.desc())
NEWEST_INSIGHT = (AiInsight.created_at.desc(), AiInsight.id.desc())
NEWEST_SESSION = (Session.created_at.desc(), Session.id.desc())
NEWEST_ACTIVITY = (UserActivity.created_at.desc(), UserActivity.id.desc())


def user(user_id: UUID) -> sa.Select[User]:
    """A user, without the secrets."""
    shown = (User.email, User.first_name, User.last_name, User.avatar_url, User.preferences, User.subscription_tier)
    return sa.select(User).where(User.id == user_id).options(load_only(*shown, raiseload=True))


def portfolios(user_id: UUID) -> sa.Select[Portfolio]:
    """A user's portfolios, with what they hold."""
    return sa.select(Portfolio).where(Portfolio.user_id == user_id).options(selectinload(Portfolio.assets))


def portfolio(portfolio_id: UUID) -> sa.Select[Portfolio]:
    """A portfolio, with what it holds."""
    return sa.select(Portfolio).where(Portfolio.id == portfolio_id).options(selectinload(Portfolio.assets))


def transactions(portfolio_id: UUID, symbol: str | None = None) -> sa.Select[Transaction]:
    """What was traded in a portfolio, of one symbol or of all."""
    statement = sa.select(Transaction).where(Transaction.portfolio_id == portfolio_id)
    return statement if symbol is None else statement.where(Transaction.symbol == symbol)


def watchlists(user_id: UUID) -> sa.Select[Watchlist]:
    """A user's watchlists, with what is on them."""
    return sa.select(Watchlist).where(Watchlist.user_id == user_id).options(selectinload(Watchlist.items))


def watchlist(watchlist_id: UUID) -> sa.Select[Watchlist]:
    """A watchlist with what is on it: one's own, or a public one."""
    return sa.select(Watchlist).where(Watchlist.id == watchlist_id).options(selectinload(Watchlist.items))


def public_watchlists() -> sa.Select[Watchlist]:
    """The watchlists that everybody may read, with what is on them."""
    return sa.select(Watchlist).where(Watchlist.is_public).options(selectinload(Watchlist.items))


def alerts(user_id: UUID, *, active: bool | None = None) -> sa.Select[PriceAlert]:
    """A user's alerts: the active ones, the others, or all."""
    statement = sa.select(PriceAlert).where(PriceAlert.user_id == user_id)
    return statement if active is None else statement.where(PriceAlert.is_active.is_(active))


def insights(user_id: UUID, *, at: datetime) -> sa.Select[AiInsight]:
    """What models found for a user, or for everybody, and what has not expired."""
    return sa.select(AiInsight).where(
        sa.or_(AiInsight.user_id == user_id, AiInsight.user_id.is_(None)),
        sa.or_(AiInsight.expires_at.is_(None), AiInsight.expires_at > at),
    )


def sessions(user_id: UUID, *, at: datetime) -> sa.Select[Session]:
    """A user's sessions that can be refreshed, without their digests."""
    shown = (Session.user_id, Session.device_info, Session.ip_address, Session.user_agent, Session.expires_at)
    return (
        sa.select(Session)
        .where(Session.user_id == user_id, Session.expires_at > at)
        .options(load_only(*shown, Session.created_at, raiseload=True))
    )


def activities(user_id: UUID, *, activity_type: str | None = None) -> sa.Select[UserActivity]:
    """What a user did, of one type or of all."""
    statement = sa.select(UserActivity).where(UserActivity.user_id == user_id)
    return statement if activity_type is None else statement.where(UserActivity.activity_type == activity_type)


def steps(portfolio_id: UUID, symbol: str | None = None) -> Steps:
    """The columns of transactions that positions are folded from, in no order."""
    statement = sa.select(
        Transaction.id,
        Transaction.symbol,
        Transaction.transaction_type,
        Transaction.shares,
        Transaction.price,
        Transaction.transaction_date,
    ).where(Transaction.portfolio_id == portfolio_id)
    return statement if symbol is None else statement.where(Transaction.symbol == symbol)


def newest_step(portfolio_id: UUID, symbol: str) -> Steps:
    """The last of a symbol's transactions in the order of the fold."""
    rank = sa.case(RANKS, value=Transaction.transaction_type)
    return (
        steps(portfolio_id, symbol)
        .order_by(Transaction.transaction_date.desc(), rank.desc(), Transaction.id.desc())
        .limit(1)
    )


def alerts_met(ticks: Sequence[Tick], *, at: datetime) -> sa.Select[UUID, UUID, str, Decimal, datetime]:
    """The pending alerts whose condition one of these ticks meets, locked, each with its ticks in order of time."""
    tick = (
        sa.func.unnest(
            sa.literal([tick.symbol for tick in ticks], sa.ARRAY(sa.Text)),
            sa.literal([tick.time for tick in ticks], sa.ARRAY(sa.DateTime(timezone=True))),
            sa.literal([tick.price for tick in ticks], sa.ARRAY(sa.Numeric)),
            sa.literal([tick.volume for tick in ticks], sa.ARRAY(sa.Numeric)),
            sa.literal([tick.reference for tick in ticks], sa.ARRAY(sa.Numeric)),
        )
        .table_valued(
            sa.column("symbol", sa.Text),
            sa.column("time", sa.DateTime(timezone=True)),
            sa.column("price", sa.Numeric),
            sa.column("volume", sa.Numeric),
            sa.column("reference", sa.Numeric),
        )
        .render_derived(name="tick")
    )
    # multiplied, not divided: nothing is rounded. A tick without a volume or a reference meets no condition on it.
    measured, wanted = (
        sa.case(
            {"price": tick.c.price, "percent_change": (tick.c.price - tick.c.reference) * 100, "volume": tick.c.volume},
            value=PriceAlert.alert_type,
        ),
        PriceAlert.target_price * sa.case({"percent_change": tick.c.reference}, value=PriceAlert.alert_type, else_=1),
    )
    met = sa.case(
        {"above": measured > wanted, "below": measured < wanted, "equals": measured == wanted},
        value=PriceAlert.condition,
    )
    return (
        sa.select(PriceAlert.id, PriceAlert.user_id, PriceAlert.symbol, tick.c.price, tick.c.time)
        .join(tick, tick.c.symbol == PriceAlert.symbol)
        .where(
            PriceAlert.is_active,
            PriceAlert.triggered_at.is_(None),
            sa.or_(PriceAlert.expires_at.is_(None), PriceAlert.expires_at > at),
            met,
        )
        .order_by(PriceAlert.id, tick.c.time)
        .with_for_update(of=PriceAlert)
    )


def symbols_of(portfolio_id: UUID) -> sa.Select[str]:
    """The symbols that a portfolio holds."""
    return sa.select(PortfolioAsset.symbol).where(PortfolioAsset.portfolio_id == portfolio_id)
