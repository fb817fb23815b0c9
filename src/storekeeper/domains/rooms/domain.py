"""The table of contents of the rooms domain."""

from __future__ import annotations

from storekeeper import Domain
from storekeeper.domains.rooms.entities import Base
from storekeeper.domains.rooms.protection import PROTECTIONS

TABLES = Base.metadata.tables

DOMAIN = Domain(
    "rooms",
    tables=(
        TABLES["rooms.users"],
        TABLES["rooms.nfts"],
        TABLES["rooms.rooms"],
        TABLES["rooms.swarms"],
        TABLES["rooms.agents"],
        TABLES["rooms.deals"],
        TABLES["rooms.messages"],
        TABLES["rooms.agent_performance"],
    ),
    protections=PROTECTIONS,
    revisions="storekeeper.domains.rooms.revisions",
    seed="storekeeper.domains.rooms.seed:seed",
)
