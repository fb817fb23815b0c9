"""Signing in: accounts, passwords, and tokens of which the store holds digests alone."""

from __future__ import annotations

from asyncio import to_thread
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import (
    InputError,
    NotFoundError,
    RefusedError,
    audit_async,
    digest,
    hash_password,
    new_token,
    password_matches,
)
from storekeeper.domains.deals.entities import AuthToken, User

#: How long a token lives where nothing else is said.
LIFETIMES = {"access": timedelta(hours=1), "refresh": timedelta(days=30), "reset": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Issued:
    """A token in the clear, which is known here and to its bearer alone, and what the store keeps of it."""

    token: str
    row: AuthToken


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose a token is, and what it lets them do."""

    user_id: UUID
    token_id: UUID
    scope: str


async def register(session: AsyncSession, email: str, password: str, *, name: str | None = None) -> User:
    """Makes an account with a bcrypt password.

    It belongs to the session's transaction: the row is the new user's own, so the transaction becomes theirs. Raises
    UniqueError where the address is taken, however it is spelt.
    """
    user = User(id=uuid4(), email=email, hashed_password=await to_thread(hash_password, password), name=name)
    await _act_as(session, user.id)
    session.add(user)
    await session.flush()
    return user


async def log_in(session: AsyncSession, email: str, password: str, *, at: datetime) -> UUID | None:
    """The id of the active user of this address and password, and None for a wrong one, which the audit log notes too.

    Takes as long where there is no such address. The transaction becomes the user's; commit it in both cases.
    """
    found = (
        await session.execute(
            sa.text("SELECT id, hashed_password, status FROM deals.login_of(:email)"), {"email": email}
        )
    ).one_or_none()
    # of an unknown address too, so that it takes as long as a wrong password
    right = await to_thread(password_matches, password, found.hashed_password if found is not None else None)
    if found is None or not right or found.status != "active":
        subject = str(found.id) if found is not None else "unknown"
        await audit_async(session, "login_failed", subject="deals.users", subject_id=subject)
        return None
    await _act_as(session, found.id)
    # the password may have been changed while it was compared
    same = sa.update(User).where(
        User.id == found.id, User.hashed_password == found.hashed_password, User.status == "active"
    )
    user_id: UUID | None = await session.scalar(same.values(last_login_at=at).returning(User.id))
    await audit_async(
        session, "login_failed" if user_id is None else "login", subject="deals.users", subject_id=str(found.id)
    )
    return user_id


async def change_password(session: AsyncSession, user_id: UUID, password: str) -> None:
    """Sets a new password, and revokes every token of the user. Raises NotFoundError."""
    hashed = await to_thread(hash_password, password)
    changed = sa.update(User).where(User.id == user_id).values(hashed_password=hashed).returning(User.id)
    if await session.scalar(changed) is None:
        raise NotFoundError("there is no such user, or it is not you", operation="change password", target=str(user_id))
    await revoke_all(session, user_id)
    await audit_async(session, "password_changed", subject="deals.users", subject_id=str(user_id))


async def change_role(session: AsyncSession, user_id: UUID, role: str) -> None:
    """Makes a user `user`, `moderator` or `admin`; only an admin may, and it is noted in the audit log.

    Raises PermissionDeniedError for anybody else, NotFoundError where there is no such user.
    """
    changed = sa.text("SELECT deals.change_role(:user, :role)")
    before = await session.scalar(changed, {"user": user_id, "role": role})
    if before is None:
        raise NotFoundError("no such user", operation="change role", target=str(user_id))


async def change_status(session: AsyncSession, user_id: UUID, status: str) -> None:
    """Makes an account `active`, `inactive`, `suspended` or `deleted`; only an admin may, and the audit log notes it.

    Whoever is not active cannot sign in, and their tokens are good for nothing. Raises PermissionDeniedError for
    anybody else, NotFoundError where there is no such user, CheckError for another status.
    """
    changed = sa.text("SELECT deals.change_status(:user, :status)")
    before = await session.scalar(changed, {"user": user_id, "status": status})
    if before is None:
        raise NotFoundError("no such user", operation="change status", target=str(user_id))


async def issue(
    session: AsyncSession,
    user_id: UUID,
    token_type: str,
    *,
    at: datetime,
    scope: str = "full",
    lifetime: timedelta | None = None,
) -> Issued:
    """A new token of a user; it ends `lifetime` after `at` (an hour; of refresh tokens 30 days).

    Raises InputError for a type that is none, and for a token that would have ended already.
    """
    if token_type not in LIFETIMES:
        raise InputError(f"{token_type!r} is none of {', '.join(LIFETIMES)}", operation="issue", target="token_type")
    lives = LIFETIMES[token_type] if lifetime is None else lifetime
    if lives <= timedelta(0):
        raise InputError("is over as it begins", operation="issue", target="lifetime")
    token = new_token()
    row = AuthToken(
        user_id=user_id,
        token=digest(token),
        token_type=token_type,
        scope=scope,
        expires_at=at + lives,
    )
    session.add(row)
    await session.flush()
    return Issued(token, row)


async def bearer(session: AsyncSession, token: str, token_type: str, *, at: datetime) -> Bearer | None:
    """Whose token this is: None where it is none, or has expired or been revoked, or its user is not active.

    Needs nobody to be signed in: it is what signs somebody in.
    """
    row = (
        await session.execute(
            sa.text("SELECT id, user_id, scope FROM deals.token_owner(:digest, :type, :at)"),
            {"digest": digest(token), "type": token_type, "at": at},
        )
    ).one_or_none()
    return Bearer(row.user_id, row.id, row.scope) if row is not None else None


async def refresh(session: AsyncSession, token: str, *, at: datetime) -> Issued:
    """A new refresh token for one that is used up thereby; of two who use it at once, one gets it.

    The transaction becomes the user's. Raises RefusedError where the token is not, or no longer, good.
    """
    owner = await bearer(session, token, "refresh", at=at)
    if owner is None or not await _used_up(session, owner):
        raise RefusedError("is not good any more", operation="refresh", target="token", hint="sign in again")
    return await issue(session, owner.user_id, "refresh", at=at, scope=owner.scope)


async def reset_password(session: AsyncSession, token: str, password: str, *, at: datetime) -> UUID:
    """Sets a new password by a reset token, once. The transaction becomes the user's. Raises RefusedError."""
    owner = await bearer(session, token, "reset", at=at)
    if owner is None or not await _used_up(session, owner):
        raise RefusedError("is not good any more", operation="reset password", target="token", hint="ask for another")
    await change_password(session, owner.user_id, password)
    return owner.user_id


async def revoke(session: AsyncSession, token_id: UUID) -> bool:
    """Ends a token; returns whether it was active."""
    statement = sa.update(AuthToken).where(AuthToken.id == token_id, AuthToken.status == "active")
    return bool((await session.execute(statement.values(status="revoked").returning(AuthToken.id))).all())


async def revoke_all(session: AsyncSession, user_id: UUID) -> int:
    """Ends every active token of a user, and returns how many there were."""
    statement = sa.update(AuthToken).where(AuthToken.user_id == user_id, AuthToken.status == "active")
    ended = statement.values(status="revoked").returning(AuthToken.id)
    return len((await session.execute(ended, execution_options={"synchronize_session": False})).all())


async def _used_up(session: AsyncSession, owner: Bearer) -> bool:
    await _act_as(session, owner.user_id)
    return await revoke(session, owner.token_id)


async def _act_as(session: AsyncSession, user_id: UUID) -> None:
    """From here on the transaction is this user's, and row-level security goes by them."""
    await session.execute(sa.select(sa.func.set_config("app.current_user_id", str(user_id), True)))
