"""The table of contents of the invest domain."""

from __future__ import annotations

from storekeeper import Domain, Monthly, TableLifecycle, Yearly, days, years
from storekeeper.domains.invest import documents, effects, jobs, keys, series, views
from storekeeper.domains.invest.entities import Base
from storekeeper.domains.invest.protection import PROTECTIONS

TABLES = Base.metadata.tables

DOMAIN = Domain(
    "invest",
    tables=(
        TABLES["invest.users"],
        TABLES["invest.sessions"],
        TABLES["invest.portfolios"],
        TABLES["invest.portfolio_assets"],
        TABLES["invest.transactions"],
        TABLES["invest.watchlists"],
        TABLES["invest.watchlist_items"],
        TABLES["invest.price_alerts"],
        TABLES["invest.ai_insights"],
        TABLES["invest.user_activity_log"],
    ),
    lifecycles=(
        TableLifecycle(TABLES["invest.users"], deleted="deleted_at"),
        TableLifecycle(TABLES["invest.sessions"], expires="expires_at"),
        TableLifecycle(TABLES["invest.transactions"], partition=Yearly("transaction_date"), keep_at_least=years(7)),
        TableLifecycle(TABLES["invest.ai_insights"], since="created_at", drop_after=days(30), expires="expires_at"),
        TableLifecycle(TABLES["invest.user_activity_log"], partition=Monthly("created_at"), drop_after=days(90)),
    ),
    effects=effects.EFFECTS,
    jobs=jobs.JOBS,
    protections=PROTECTIONS,
    views=(views.PORTFOLIO_SUMMARY,),
    hypertables=(series.STOCK_PRICES, series.INTRADAY_PRICES, series.PORTFOLIO_SNAPSHOTS, series.MARKET_INDICES),
    collections=(documents.LOGS, documents.ANALYTICS, documents.ML_RESULTS),
    keyspaces=(keys.SESSION, keys.QUOTE, keys.PORTFOLIO, keys.RATE_LIMIT, keys.SUBSCRIPTIONS, keys.ANALYSIS),
    rate_limits=(keys.REQUESTS,),
    revisions="storekeeper.domains.invest.revisions",
)
