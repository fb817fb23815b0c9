"""Whose rows the tables of the rooms domain hold.

What touches agents of two users, deals, messages and what is counted of them, functions of the owner write: a service
calls these (`operations`), and reads the rows that are its user's.
"""

from __future__ import annotations

from storekeeper import Protection
from storekeeper.domains.rooms.entities import Base

TABLES = Base.metadata.tables

PROTECTIONS = (
    Protection(
        TABLES["rooms.users"],
        owners=("id",),
        clear=("wallet_address",),
        digests=("nonce",),  # what is to be signed next: whoever knows it has half of a sign-in
        app=("SELECT",),
    ),
    Protection(TABLES["rooms.nfts"], app=("SELECT", "INSERT", "UPDATE")),
    # no DELETE: a room takes the agents and deals of everybody along
    Protection(TABLES["rooms.rooms"], guarded=("floor_price", "top_bid"), app=("SELECT", "INSERT", "UPDATE")),
    Protection(TABLES["rooms.swarms"], owners=("user_id",)),
    Protection(TABLES["rooms.agents"], owners=("user_id",), guarded=("status", "deal_id", "messages_sent")),
    Protection(TABLES["rooms.deals"], owners=("buyer_user_id", "seller_user_id"), app=("SELECT",)),
    Protection(TABLES["rooms.messages"], owners=("agent_id.user_id",), app=("SELECT",)),
    Protection(TABLES["rooms.agent_performance"], owners=("agent_id.user_id",), app=("SELECT",)),
)
