"""Pages of a listing: each one statement that starts after the last row of the page before."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper.stores.postgres.keyset import Order, Page, beyond, checked_limit, decode, encode, keys, ordered


async def page_async(
    session: AsyncSession, statement: sa.Select[Any], *, by: Order, after: str | None = None, limit: int = 50
) -> Page[Any]:
    """Up to `limit` rows of `statement` in the order `by`, from the start or after the cursor of the page before.

    `by` ends in a unique column, its parts are never NULL, and the statement has no order of its own. Items are rows,
    or what the statement selects where that is one thing, such as an entity. Raises InputError for a cursor of another
    listing.
    """
    order = keys(by)
    asked = checked_limit(limit)
    statement = statement.add_columns(*(key.expression.label(f"page_key_{at}") for at, key in enumerate(order)))
    if after is not None:
        statement = statement.where(beyond(order, decode(order, after)))
    rows = (await session.execute(statement.order_by(*ordered(order)).limit(asked + 1))).all()
    shown = rows[:asked]
    own = len(rows[0]) - len(order) if rows else 0
    following = encode(order, rows[asked - 1][own:]) if len(rows) > asked else None
    return Page(tuple(row[0] if own == 1 else row[:own] for row in shown), following)
