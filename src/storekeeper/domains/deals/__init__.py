"""deals: what users look for, what is found for them, and the tokens that it costs."""

from __future__ import annotations

from storekeeper.domains.deals.domain import DOMAIN

__all__ = ["DOMAIN"]
