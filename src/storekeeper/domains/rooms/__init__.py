"""rooms: rooms in which agents of users buy and sell NFTs, and the deals they come to."""

from __future__ import annotations

from storekeeper.domains.rooms.domain import DOMAIN

__all__ = ["DOMAIN"]
