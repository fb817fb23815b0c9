# Generated from positions_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Snapshots of positions are written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import InputError, NotFoundError
from storekeeper.domains.defi.entities import Position, User
from storekeeper.domains.defi.operations.users import as_address
from storekeeper.domains.defi.shapes import Holding, PositionMeta


def take_snapshot(
    session: Session,
    user_id: UUID,
    protocol: str,
    *,
    at: datetime,
    chain_id: int = 1,
    wallet_address: str | None = None,
    health_factor: Decimal | None = None,
    collateral: Sequence[Holding] = (),
    debt: Sequence[Holding] = (),
    meta: PositionMeta | None = None,
) -> Position:
    """Writes what a user has in a protocol at `at`; in their own wallet, unless another is named.

    `health_factor` is None where there is no debt to fall behind with. Raises NotFoundError.
    """
    if health_factor is not None and (not health_factor.is_finite() or health_factor < 0):
        raise InputError(
            "a health factor is a number from 0 on",
            operation="take snapshot",
            hint="leave it out where there is no debt",
        )
    own = session.scalar(sa.select(User.wallet_address).where(User.id == user_id))
    if own is None:
        raise NotFoundError("no such user", operation="take snapshot", target=str(user_id))
    position = Position(
        user_id=user_id,
        wallet_address=own if wallet_address is None else as_address(wallet_address),
        protocol=protocol,
        chain_id=chain_id,
        health_factor=health_factor,
        collateral=list(collateral),
        debt=list(debt),
        meta=meta or PositionMeta(),
        snapshot_at=at,
    )
    session.add(position)
    session.flush()
    return position
