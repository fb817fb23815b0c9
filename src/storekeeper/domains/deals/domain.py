"""The table of contents of the deals domain."""

from __future__ import annotations

from storekeeper import Domain, Monthly, TableLifecycle
from storekeeper.domains.deals import documents, effects, jobs, protection, series
from storekeeper.domains.deals.entities import Base

TABLES = Base.metadata.tables

DOMAIN = Domain(
    "deals",
    tables=(
        TABLES["deals.users"],
        TABLES["deals.user_preferences"],
        TABLES["deals.auth_tokens"],
        TABLES["deals.markets"],
        TABLES["deals.categories"],
        TABLES["deals.sources"],
        TABLES["deals.goals"],
        TABLES["deals.deals"],
        TABLES["deals.goal_deals"],
        TABLES["deals.saved_deals"],
        TABLES["deals.chat_messages"],
        TABLES["deals.notifications"],
        TABLES["deals.notification_settings"],
        TABLES["deals.user_token_balances"],
        TABLES["deals.token_transactions"],
        TABLES["deals.token_balance_history"],
        TABLES["deals.token_pricing"],
        TABLES["deals.token_packages"],
        TABLES["deals.token_redemption_codes"],
        TABLES["deals.shared_deals"],
        TABLES["deals.social_interactions"],
        TABLES["deals.ai_analysis_requests"],
        TABLES["deals.ai_models"],
        TABLES["deals.ai_prompt_templates"],
    ),
    lifecycles=(
        TableLifecycle(TABLES["deals.auth_tokens"], expires="expires_at"),
        # the ledger stays as long as its users: no partition is ever dropped
        TableLifecycle(TABLES["deals.token_transactions"], partition=Monthly("created_at", verbose=True)),
    ),
    protections=protection.PROTECTIONS,
    effects=effects.EFFECTS,
    jobs=jobs.JOBS,
    hypertables=(series.PRICE_TRACKING,),
    collections=(documents.MODEL_METRICS,),
    revisions="storekeeper.domains.deals.revisions",
)
