"""Whose rows the tables of the invest domain hold, and what in them identifies a person."""

from __future__ import annotations

from storekeeper import Protection
from storekeeper.domains.invest.entities import Base

TABLES = Base.metadata.tables

PROTECTIONS = (
    Protection(
        TABLES["invest.users"],
        owners=("id",),
        clear=("email", "first_name", "last_name", "avatar_url"),
        sealed=("phone",),
        digests=("password_hash", "email_verification_token", "password_reset_token"),
    ),
    Protection(
        TABLES["invest.sessions"],
        owners=("user_id",),
        clear=("device_info", "ip_address", "user_agent"),
        digests=("refresh_token",),
    ),
    Protection(TABLES["invest.portfolios"], owners=("user_id",)),
    Protection(TABLES["invest.portfolio_assets"], owners=("portfolio_id.user_id",)),
    Protection(TABLES["invest.transactions"], owners=("portfolio_id.user_id",)),
    Protection(TABLES["invest.watchlists"], owners=("user_id",), public="is_public"),
    Protection(
        TABLES["invest.watchlist_items"],
        owners=("watchlist_id.user_id",),
        # a policy of its own lets everybody see the public list, and so what is on it
        public="EXISTS (SELECT FROM invest.watchlists AS list WHERE list.id = watchlist_id AND list.is_public)",
    ),
    Protection(TABLES["invest.price_alerts"], owners=("user_id",)),
    Protection(TABLES["invest.ai_insights"], owners=("user_id",), public="user_id IS NULL"),
    Protection(TABLES["invest.user_activity_log"], owners=("user_id",), clear=("ip_address", "user_agent")),
)
