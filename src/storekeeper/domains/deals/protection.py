"""Whose the rows of the deals domain are, who else sees them, and which columns identify a person.

Staff reads what users do; what they write to each other or to the assistant, and what they wish, it does not. Only
admins write others' rows. Shops, deals, prices and models are nobody's: every service sees them.
"""

from __future__ import annotations

from storekeeper import Protection
from storekeeper.domains.deals.entities import Base

STAFF = ("moderator", "admin")
ADMIN = ("admin",)
READ_AND_CHANGE = ("SELECT", "INSERT", "UPDATE")

_TABLES = {table.name: table for table in Base.metadata.tables.values()}

#: A shared deal is read by whoever names its link in the transaction, as `app.public_link_id`.
BY_ITS_LINK = (
    "is_active AND (expires_at IS NULL OR expires_at > now()) "
    "AND public_link_id = nullif(current_setting('app.public_link_id', true), '')"
)

PROTECTIONS = (
    Protection(
        _TABLES["users"],
        owners=("id",),
        staff_reads=STAFF,
        staff_writes=ADMIN,
        clear=("email", "name", "sol_address", "social_id"),
        digests=("hashed_password", "verification_token"),
        # who is suspended acts by no role (`acting_role()`), and is not to take that back
        guarded=("role", "status"),
    ),
    Protection(_TABLES["user_preferences"], owners=("user_id",)),
    Protection(_TABLES["auth_tokens"], owners=("user_id",), staff_reads=ADMIN, staff_writes=ADMIN, digests=("token",)),
    # no DELETE of deals, nor of markets, which take theirs along: what everybody saved and shared of them would go too
    Protection(_TABLES["markets"], sealed=("api_key",), app=READ_AND_CHANGE),
    Protection(_TABLES["categories"]),
    Protection(_TABLES["sources"]),
    Protection(_TABLES["goals"], owners=("user_id",), staff_reads=STAFF, staff_writes=ADMIN),
    Protection(_TABLES["deals"], app=READ_AND_CHANGE),
    Protection(_TABLES["goal_deals"], owners=("goal_id.user_id",), staff_reads=STAFF, staff_writes=ADMIN),
    Protection(_TABLES["saved_deals"], owners=("user_id",), staff_reads=STAFF),
    Protection(_TABLES["chat_messages"], owners=("user_id",), sealed=("content",)),
    Protection(_TABLES["notifications"], owners=("user_id",), staff_reads=ADMIN, staff_writes=ADMIN),
    Protection(_TABLES["notification_settings"], owners=("user_id",)),
    # the ledger is added to; rows go with their user alone
    Protection(
        _TABLES["user_token_balances"],
        owners=("user_id",),
        staff_reads=STAFF,
        staff_writes=ADMIN,
        app=READ_AND_CHANGE,
    ),
    Protection(
        _TABLES["token_transactions"],
        owners=("user_id",),
        staff_reads=STAFF,
        staff_writes=ADMIN,
        app=READ_AND_CHANGE,
    ),
    Protection(
        _TABLES["token_balance_history"],
        owners=("user_id",),
        staff_reads=STAFF,
        staff_writes=ADMIN,
        app=("SELECT", "INSERT"),
    ),
    Protection(_TABLES["token_pricing"], app=READ_AND_CHANGE),
    Protection(_TABLES["token_packages"], app=READ_AND_CHANGE),
    # who could list codes could redeem them, who could write them could give themselves tokens: `deals.redeem_code()`
    # is for everybody, `deals.make_code()` and `deals.end_code()` for admins
    Protection(
        _TABLES["token_redemption_codes"],
        owners=("created_by",),
        staff_reads=ADMIN,
        digests=("code",),
        app=("SELECT",),
    ),
    Protection(
        _TABLES["shared_deals"],
        owners=("user_id",),
        public=BY_ITS_LINK,
        staff_reads=STAFF,
        staff_writes=STAFF,
        clear=("recipients",),
        digests=("public_link_id",),  # whoever knows it opens the share
    ),
    Protection(_TABLES["social_interactions"], owners=("user_id",), staff_reads=STAFF),
    Protection(_TABLES["ai_analysis_requests"], owners=("user_id",), staff_reads=STAFF, staff_writes=ADMIN),
    Protection(_TABLES["ai_models"], app=READ_AND_CHANGE),
    Protection(_TABLES["ai_prompt_templates"], app=READ_AND_CHANGE),
)
