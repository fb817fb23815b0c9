"""invest: portfolios of users, the prices that value them, and what is cached of both."""

from __future__ import annotations

from storekeeper.domains.invest.domain import DOMAIN

__all__ = ["DOMAIN"]
