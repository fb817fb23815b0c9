"""The table of contents of the invest domain."""

from __future__ import annotations

from storekeeper import Domain, TableLifecycle
from storekeeper.domains.invest import documents, keys, series
from storekeeper.domains.invest.entities import Base

TABLES = Base.metadata.tables

DOMAIN = Domain(
    "invest",
    tables=(
        TABLES["invest.users"],
        TABLES["invest.sessions"],
        TABLES["invest.portfolios"],
        TABLES["invest.portfolio_assets"],
    ),
    lifecycles=(TableLifecycle(TABLES["invest.sessions"], expires="expires_at"),),
    hypertables=(series.STOCK_PRICES, series.INTRADAY_PRICES, series.PORTFOLIO_SNAPSHOTS, series.MARKET_INDICES),
    collections=(documents.LOGS,),
    keyspaces=(keys.SESSION, keys.QUOTE, keys.PORTFOLIO, keys.RATE_LIMIT, keys.SUBSCRIPTIONS, keys.ANALYSIS),
    rate_limits=(keys.REQUESTS,),
    revisions="storekeeper.domains.invest.revisions",
)
