"""Redemption codes: tokens for whoever knows the code, once a user and as often as the code may be redeemed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import NotFoundError, RefusedError
from storekeeper.domains.deals.entities import TokenTransaction
from storekeeper.domains.deals.errors import CodeExhaustedError, CodeExpiredError, CodeRedeemedError, CodeRefusedError

_OUTCOME = sa.column("outcome", sa.Text)

_REDEEM = (
    sa.select(TokenTransaction, _OUTCOME)
    .from_statement(
        sa.text("SELECT (r.posting).*, r.outcome FROM deals.redeem_code(:of_code, :at) r")
        .bindparams(sa.bindparam("of_code", type_=sa.Text), sa.bindparam("at", type_=sa.DateTime(timezone=True)))
        .columns(*TokenTransaction.__table__.columns, _OUTCOME)
    )
    .execution_options(populate_existing=True)
)

_REFUSALS: dict[str, type[CodeRefusedError]] = {
    "inactive": CodeExpiredError,
    "expired": CodeExpiredError,
    "exhausted": CodeExhaustedError,
    "repeated": CodeRedeemedError,
    "differs": CodeRedeemedError,
}


async def redeem(session: AsyncSession, code: str, *, at: datetime) -> TokenTransaction:
    """Gives the user that the session acts for the tokens of a code: the posting.

    Of many who try at the same time as many succeed as the code has redemptions left, and each once. It must not have
    expired `at`. Raises CodeExpiredError, CodeExhaustedError, CodeRedeemedError; NotFoundError where there is no such
    code; RefusedError where the session acts for nobody whose account is active.
    """
    made, outcome = (await session.execute(_REDEEM, {"of_code": code, "at": at})).one()
    # the code itself is left out of what is said: who reads logs could redeem it
    if outcome == "unknown":
        raise NotFoundError("there is no such code", operation="redeem", target="code")
    if outcome == "no_user":
        raise RefusedError(
            "the session acts for no active user", operation="redeem", target="code", hint="open it with a user_id"
        )
    if outcome != "posted":
        raise _REFUSALS[outcome](operation="redeem", target="code")
    transaction: TokenTransaction = made
    return transaction


async def make_code(
    session: AsyncSession, code: str, token_amount: int, *, max_redemptions: int = 1, expires_at: datetime | None = None
) -> UUID:
    """Makes a code worth so many tokens each time, and returns its id; the session acts for an admin.

    Raises PermissionDeniedError for anybody else, UniqueError where there is such a code, and CheckError where tokens
    or redemptions are none.
    """
    made: UUID = (
        await session.execute(
            sa.select(sa.func.deals.make_code(code, token_amount, max_redemptions, expires_at, type_=sa.Uuid))
        )
    ).scalar_one()
    return made


async def end_code(session: AsyncSession, code_id: UUID) -> None:
    """Ends a code: nobody redeems it from then on. Raises PermissionDeniedError, NotFoundError."""
    if not await session.scalar(sa.select(sa.func.deals.end_code(code_id))):
        raise NotFoundError("there is no such code", operation="end", target="code")
