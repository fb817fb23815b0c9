# Generated from accounts_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Accounts: registering, verifying the address, the sealed telephone number, closing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from operator import call as to_thread
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storekeeper import InputError, KeyRing, audit, digest, hash_password, new_token, record
from storekeeper.domains.invest import effects
from storekeeper.domains.invest.entities import PriceAlert, User
from storekeeper.domains.invest.errors import AddressTakenError, WrongTokenError
from storekeeper.domains.invest.operations.acting import act_as, locked_user
from storekeeper.domains.invest.operations.portfolios import NewPortfolio, create_portfolio
from storekeeper.domains.invest.operations.sessions import revoke_all_sessions
from storekeeper.domains.invest.shapes import Preferences

_PHONE = "invest.users.phone"
_SHORTEST_PASSWORD = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Who wants an account. `portfolio` names the first portfolio, the default one; None for none."""

    email: str
    password: str = field(repr=False)
    first_name: str
    last_name: str
    phone: str | None = field(default=None, repr=False)
    preferences: Preferences = field(default_factory=Preferences)
    portfolio: str | None = "Main Portfolio"
    id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        check_password(self.password)


@dataclass(frozen=True, slots=True)
class Registered:
    """A new account, and the token that proves the address once it comes back from there."""

    user: User
    verification_token: str = field(repr=False)


def check_password(password: str) -> None:
    """Raises InputError where a password is too short."""
    if len(password) < _SHORTEST_PASSWORD:
        raise InputError(
            f"has fewer than {_SHORTEST_PASSWORD} characters", operation="set", target="password", hint="a longer one"
        )


def register(session: Session, registration: Registration, *, ring: KeyRing) -> Registered:
    """Opens an account: the password hashed, the telephone number sealed, a default portfolio where one is named.

    Raises AddressTakenError where there is an account of this address, however it is written.
    """
    act_as(session, registration.id)
    token = new_token()
    statement = (
        insert(User)
        .values(
            id=registration.id,
            email=registration.email,
            password_hash=to_thread(hash_password, registration.password),
            first_name=registration.first_name,
            last_name=registration.last_name,
            phone=_sealed(ring, registration.id, registration.phone),
            preferences=registration.preferences,
            email_verification_token=digest(token),
        )
        # of two who come at once one waits here for the other
        .on_conflict_do_nothing()
        .returning(User)
    )
    user = session.scalar(statement)
    if user is None:
        raise AddressTakenError(
            operation="register", target="invest.users", hint="log in, reset the password, or take another address"
        )
    audit(session, "account_created", subject="invest.users", subject_id=str(user.id))
    if registration.portfolio is not None:
        create_portfolio(session, NewPortfolio(user.id, registration.portfolio))
    return Registered(user, token)


def verify_address(session: Session, token: str) -> User:
    """Notes that whoever holds the token reads the mail of that address. Once; then WrongTokenError is raised."""
    user_id = session.scalar(sa.text("SELECT id FROM invest.verification_of(:digest)"), {"digest": digest(token)})
    if user_id is not None:
        act_as(session, user_id)
        user: User | None = session.scalar(
            sa.update(User)
            .where(User.id == user_id, User.email_verification_token == digest(token))
            .values(email_verified=True, email_verification_token=None)
            .returning(User)
        )
        if user is not None:
            return user
    raise WrongTokenError(operation="verify", target="invest.users.email", hint="ask for a new message")


def set_phone(session: Session, user_id: UUID, phone: str | None, *, ring: KeyRing) -> None:
    """Seals a telephone number for its user; None forgets it. Raises NotFoundError."""
    user = locked_user(session, user_id, "set the telephone number")
    user.phone = _sealed(ring, user_id, phone)
    session.flush()


def phone_of(user: User, *, ring: KeyRing) -> str | None:
    """A user's telephone number, opened."""
    if user.phone is None:
        return None
    return ring.open(user.phone, place=_PHONE, row=str(user.id), person=str(user.id))


def close_account(session: Session, user_id: UUID, *, at: datetime) -> None:
    """Marks an account as deleted: nobody can sign in, its sessions end, its alerts are still. Its rows stay until it
    is erased, and so long its address is taken. Raises NotFoundError where it is closed already."""
    user = locked_user(session, user_id, "close the account")
    user.deleted_at = at
    user.password_reset_token = user.password_reset_expires = user.email_verification_token = None
    session.execute(
        sa.update(PriceAlert).where(PriceAlert.user_id == user_id, PriceAlert.is_active).values(is_active=False)
    )
    revoke_all_sessions(session, user_id)
    record(
        session,
        effects.PORTFOLIO_CHANGED,
        key=effects.of_user(user_id),
        payload=effects.OfUser(user_id=user_id),
    )
    audit(
        session,
        "destructive_confirmed",
        subject="invest.users",
        subject_id=str(user_id),
        detail={"what": "account_closed"},
    )
    session.flush()


def _sealed(ring: KeyRing, user_id: UUID, phone: str | None) -> str | None:
    if phone is None:
        return None
    return ring.seal(phone, place=_PHONE, row=str(user_id), person=str(user_id))
