# Generated from logins_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Signing in, and passwords: changed by who knows the old one, or reset by who reads the mail of the address."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import call as to_thread
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import audit, digest, hash_password, new_token, password_matches
from storekeeper.domains.invest.entities import User
from storekeeper.domains.invest.errors import WrongTokenError
from storekeeper.domains.invest.operations.accounts import check_password
from storekeeper.domains.invest.operations.acting import act_as, locked_user
from storekeeper.domains.invest.operations.sessions import revoke_all_sessions

#: For how long a reset token can be used.
RESET_WITHIN: Final = timedelta(hours=1)

_LOGIN = sa.text("SELECT id, password_hash FROM invest.login_of(:email)")


def log_in(session: Session, email: str, password: str, *, at: datetime) -> User | None:
    """The user with this address and password, for whom the rest of the transaction acts; None where there is none.

    Both outcomes are in the audit log: nothing is raised, so that the trace of a refusal is committed too. An unknown
    address takes as long as a wrong password.
    """
    found = (session.execute(_LOGIN, {"email": email})).one_or_none()
    known = found.password_hash if found is not None else None
    matches = to_thread(password_matches, password, known)
    if found is None or not matches:
        subject_id = str(found.id) if found is not None else "nobody"
        audit(session, "login_failed", subject="invest.users", subject_id=subject_id)
        return None
    act_as(session, found.id)
    user = session.scalar(
        sa.update(User)
        # the password may have been changed while it was compared
        .where(User.id == found.id, User.password_hash == known, User.deleted_at.is_(None))
        .values(last_login=at)
        .returning(User)
        .execution_options(populate_existing=True)
    )
    audit(
        session,
        "login_failed" if user is None else "login",
        subject="invest.users",
        subject_id=str(found.id),
    )
    return user


def change_password(session: Session, user_id: UUID, current: str, new: str) -> bool:
    """Sets a password where `current` is the one there is, and ends all sessions of the user; else False, and a trace.

    Raises NotFoundError, InputError.
    """
    check_password(new)
    user = locked_user(session, user_id, "change the password")
    if not to_thread(password_matches, current, user.password_hash):
        audit(
            session,
            "login_failed",
            subject="invest.users",
            subject_id=str(user_id),
            detail={"what": "password_change"},
        )
        return False
    _set_password(session, user, new)
    audit(session, "password_changed", subject="invest.users", subject_id=str(user_id))
    return True


def ask_for_reset(session: Session, email: str, *, at: datetime) -> str | None:
    """A token that resets the password of this address within an hour, to be sent there; the one before it is void.

    None where no account has the address: whoever asked is told the same in both cases.
    """
    found = (session.execute(_LOGIN, {"email": email})).one_or_none()
    if found is None:
        return None
    act_as(session, found.id)
    user = locked_user(session, found.id, "reset the password")
    token = new_token()
    user.password_reset_token, user.password_reset_expires = digest(token), at + RESET_WITHIN
    session.flush()
    return token


def reset_password(session: Session, token: str, new: str, *, at: datetime) -> User:
    """Sets a password by a reset token, once, and ends all sessions of the user. Raises WrongTokenError, InputError."""
    check_password(new)
    user_id = session.scalar(sa.text("SELECT id FROM invest.reset_of(:digest)"), {"digest": digest(token)})
    if user_id is not None:
        act_as(session, user_id)
        user = locked_user(session, user_id, "reset the password")
        # asked again under the lock: of two who use one token, the second finds another state
        expires = user.password_reset_expires
        if user.password_reset_token == digest(token) and expires is not None and at < expires:
            _set_password(session, user, new)
            audit(
                session,
                "password_changed",
                subject="invest.users",
                subject_id=str(user_id),
                detail={"what": "reset"},
            )
            return user
    raise WrongTokenError(operation="reset", target="password", hint="ask for another one")


def _set_password(session: Session, user: User, new: str) -> None:
    user.password_hash = to_thread(hash_password, new)
    user.password_reset_token = user.password_reset_expires = None
    session.flush()
    revoke_all_sessions(session, user.id)
