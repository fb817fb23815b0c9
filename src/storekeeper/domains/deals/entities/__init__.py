"""The relational entities of the deals domain, to the letter of its data dictionary: one file a topic."""

from storekeeper.domains.deals.entities.analysis import AiModel, AnalysisRequest, PromptTemplate
from storekeeper.domains.deals.entities.base import Base
from storekeeper.domains.deals.entities.deals import Deal
from storekeeper.domains.deals.entities.goals import Goal, GoalDeal
from storekeeper.domains.deals.entities.markets import Category, Market, Source
from storekeeper.domains.deals.entities.messages import ChatMessage, Notification, NotificationSettings
from storekeeper.domains.deals.entities.sharing import SavedDeal, SharedDeal, SocialInteraction
from storekeeper.domains.deals.entities.tokens import (
    BalanceChange,
    RedemptionCode,
    TokenBalance,
    TokenPackage,
    TokenPricing,
    TokenTransaction,
)
from storekeeper.domains.deals.entities.users import AuthToken, User, UserPreferences

__all__ = [
    "AiModel",
    "AnalysisRequest",
    "AuthToken",
    "BalanceChange",
    "Base",
    "Category",
    "ChatMessage",
    "Deal",
    "Goal",
    "GoalDeal",
    "Market",
    "Notification",
    "NotificationSettings",
    "PromptTemplate",
    "RedemptionCode",
    "SavedDeal",
    "SharedDeal",
    "SocialInteraction",
    "Source",
    "TokenBalance",
    "TokenPackage",
    "TokenPricing",
    "TokenTransaction",
    "User",
    "UserPreferences",
]
