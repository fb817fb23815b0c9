"""Signing in, and passwords: changed by who knows the old one, or reset by who reads the mail of the address."""

from __future__ import annotations

from asyncio import to_thread
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import audit_async, digest, hash_password, new_token, password_matches
from storekeeper.domains.invest.entities import User
from storekeeper.domains.invest.errors import WrongTokenError
from storekeeper.domains.invest.operations.accounts_async import check_password
from storekeeper.domains.invest.operations.acting_async import act_as, locked_user
from storekeeper.domains.invest.operations.sessions_async import revoke_all_sessions

#: For how long a reset token can be used.
RESET_WITHIN: Final = timedelta(hours=1)

_LOGIN = sa.text("SELECT id, password_hash FROM invest.login_of(:email)")


async def log_in(session: AsyncSession, email: str, password: str, *, at: datetime) -> User | None:
    """The user with this address and password, for whom the rest of the transaction acts; None where there is none.

    Both outcomes are in the audit log: nothing is raised, so that the trace of a refusal is committed too. An unknown
    address takes as long as a wrong password.
    """
    found = (await session.execute(_LOGIN, {"email": email})).one_or_none()
    known = found.password_hash if found is not None else None
    matches = await to_thread(password_matches, password, known)
    if found is None or not matches:
        subject_id = str(found.id) if found is not None else "nobody"
        await audit_async(session, "login_failed", subject="invest.users", subject_id=subject_id)
        return None
    await act_as(session, found.id)
    user = await session.scalar(
        sa.update(User)
        # the password may have been changed while it was compared
        .where(User.id == found.id, User.password_hash == known, User.deleted_at.is_(None))
        .values(last_login=at)
        .returning(User)
        .execution_options(populate_existing=True)
    )
    await audit_async(
        session,
        "login_failed" if user is None else "login",
        subject="invest.users",
        subject_id=str(found.id),
    )
    return user


async def change_password(session: AsyncSession, user_id: UUID, current: str, new: str) -> bool:
    """Sets a password where `current` is the one there is, and ends all sessions of the user; else False, and a trace.

    Raises NotFoundError, InputError.
    """
    check_password(new)
    user = await locked_user(session, user_id, "change the password")
    if not await to_thread(password_matches, current, user.password_hash):
        await audit_async(
            session,
            "login_failed",
            subject="invest.users",
            subject_id=str(user_id),
            detail={"what": "password_change"},
        )
        return False
    await _set_password(session, user, new)
    await audit_async(session, "password_changed", subject="invest.users", subject_id=str(user_id))
    return True


async def ask_for_reset(session: AsyncSession, email: str, *, at: datetime) -> str | None:
    """A token that resets the password of this address within an hour, to be sent there; the one before it is void.

    None where no account has the address: whoever asked is told the same in both cases.
    """
    found = (await session.execute(_LOGIN, {"email": email})).one_or_none()
    if found is None:
        return None
    await act_as(session, found.id)
    user = await locked_user(session, found.id, "reset the password")
    token = new_token()
    user.password_reset_token, user.password_reset_expires = digest(token), at + RESET_WITHIN
    await session.flush()
    return token


async def reset_password(session: AsyncSession, token: str, new: str, *, at: datetime) -> User:
    """Sets a password by a reset token, once, and ends all sessions of the user. Raises WrongTokenError, InputError."""
    check_password(new)
    user_id = await session.scalar(sa.text("SELECT id FROM invest.reset_of(:digest)"), {"digest": digest(token)})
    if user_id is not None:
        await act_as(session, user_id)
        user = await locked_user(session, user_id, "reset the password")
        # asked again under the lock: of two who use one token, the second finds another state
        expires = user.password_reset_expires
        if user.password_reset_token == digest(token) and expires is not None and at < expires:
            await _set_password(session, user, new)
            await audit_async(
                session,
                "password_changed",
                subject="invest.users",
                subject_id=str(user_id),
                detail={"what": "reset"},
            )
            return user
    raise WrongTokenError(operation="reset", target="password", hint="ask for another one")


async def _set_password(session: AsyncSession, user: User, new: str) -> None:
    user.password_hash = await to_thread(hash_password, new)
    user.password_reset_token = user.password_reset_expires = None
    await session.flush()
    await revoke_all_sessions(session, user.id)
