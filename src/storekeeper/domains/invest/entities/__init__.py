"""The relational entities of the invest domain, to the letter of its data dictionary: one file a topic."""

from storekeeper.domains.invest.entities.activity import UserActivity
from storekeeper.domains.invest.entities.base import Base
from storekeeper.domains.invest.entities.insights import AiInsight
from storekeeper.domains.invest.entities.portfolios import Portfolio, PortfolioAsset, Transaction
from storekeeper.domains.invest.entities.users import Session, User
from storekeeper.domains.invest.entities.watchlists import PriceAlert, Watchlist, WatchlistItem

__all__ = [
    "AiInsight",
    "Base",
    "Portfolio",
    "PortfolioAsset",
    "PriceAlert",
    "Session",
    "Transaction",
    "User",
    "UserActivity",
    "Watchlist",
    "WatchlistItem",
]
