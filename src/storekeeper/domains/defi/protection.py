"""Whose rows the tables of the defi domain hold, and what a service may do to them."""

from __future__ import annotations

from storekeeper import Protection
from storekeeper.domains.defi.entities import Base

_TABLES = Base.metadata.tables

PROTECTIONS = (
    Protection(
        _TABLES["defi.users"],
        owners=("id",),
        clear=("wallet_address",),
        sealed=("telegram_chat_id",),
    ),
    Protection(_TABLES["defi.positions"], owners=("user_id",), clear=("wallet_address",)),
    Protection(_TABLES["defi.alerts"], owners=("user_id",)),
    Protection(_TABLES["defi.intents"], owners=("user_id",)),
    # no DELETE: the alerts of everybody would lose the signal that they are of
    Protection(_TABLES["defi.signals"], app=("SELECT", "INSERT", "UPDATE")),
    # events are appended, and nothing else; their archive is written by a job
    Protection(_TABLES["defi.event_store"], app=("SELECT", "INSERT")),
    Protection(_TABLES["defi.event_archives"], app=("SELECT",)),
    Protection(_TABLES["defi.archived_streams"], app=("SELECT",)),
)
