"""defi: lending positions, market signals, alerts, conditional intents, and an event store."""

from __future__ import annotations

from storekeeper.domains.defi.domain import DOMAIN

__all__ = ["DOMAIN"]
