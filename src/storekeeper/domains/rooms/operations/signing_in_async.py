"""Signing in with a wallet: it signs a nonce, once; then it has another one.

The session acts for nobody yet. That the signature is the wallet's is for the caller to check, before `sign_in`.
"""

from __future__ import annotations

import secrets
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import ConflictError
from storekeeper.domains.rooms import queries
from storekeeper.domains.rooms.checks import wallet
from storekeeper.domains.rooms.errors import NonceError


async def nonce_of(session: AsyncSession, wallet_address: str) -> str:
    """The nonce that a wallet is to sign next. A wallet that was never seen becomes a user's."""
    nonce = await session.scalar(queries.sign_in_nonce(wallet(wallet_address), _fresh()))
    if nonce is None:
        # made by another transaction since this one's snapshot was taken
        raise ConflictError("cannot be seen yet", operation="sign in", target="wallet", hint="use a new transaction")
    return nonce


async def sign_in(session: AsyncSession, wallet_address: str, signed_nonce: str) -> UUID:
    """The user of a wallet that has signed its nonce; of any number of attempts with one nonce, one succeeds."""
    user_id = await session.scalar(queries.use_nonce(wallet(wallet_address), signed_nonce, _fresh()))
    if user_id is None:
        raise NonceError(operation="sign in", target="wallet", hint="ask for the nonce again, and sign that")
    return user_id


def _fresh() -> str:
    return secrets.token_urlsafe(32)
