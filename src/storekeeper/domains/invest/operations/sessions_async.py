"""Sessions: a refresh token is handed out, its digest is stored; each use replaces it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from storekeeper import NotFoundError, digest, new_token, record_async
from storekeeper.domains.invest import effects
from storekeeper.domains.invest.entities import Session as SessionRow
from storekeeper.domains.invest.errors import WrongTokenError
from storekeeper.domains.invest.keys import LiveSession
from storekeeper.domains.invest.operations.acting_async import act_as
from storekeeper.domains.invest.shapes import DeviceInfo

#: For how long a session lives without being refreshed.
LIFETIME: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Issued:
    """A session, and the only copy of its refresh token."""

    session: SessionRow
    refresh_token: str = field(repr=False)

    @property
    def live(self) -> LiveSession:
        """What stands in Redis under session:{session_id} once the transaction is committed."""
        device = self.session.device_info
        return LiveSession(
            user_id=self.session.user_id,
            refresh_token=self.session.refresh_token,
            device_info=device.model_dump(mode="json", exclude_unset=True) if device is not None else {},
            created_at=self.session.created_at,
        )


async def open_session(
    session: AsyncSession,
    user_id: UUID,
    *,
    at: datetime,
    device: DeviceInfo | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
) -> Issued:
    """Opens a session of a user for 30 days."""
    token = new_token()
    opened = SessionRow(
        user_id=user_id,
        refresh_token=digest(token),
        device_info=device,
        ip_address=ip_address,
        user_agent=user_agent,
        expires_at=at + LIFETIME,
    )
    session.add(opened)
    await session.flush()
    return Issued(opened, token)


async def refresh_session(session: AsyncSession, refresh_token: str, *, at: datetime) -> Issued:
    """Replaces a refresh token by a new one, and has the session live for another 30 days; the transaction acts for its
    user from here on. Of two who come with one token, one succeeds. Raises WrongTokenError.
    """
    known = digest(refresh_token)
    found = (
        await session.execute(sa.text("SELECT id, user_id FROM invest.session_of(:digest)"), {"digest": known})
    ).one_or_none()
    if found is not None:
        await act_as(session, found.user_id)
        token = new_token()
        row = await session.scalar(
            sa.update(SessionRow)
            .where(SessionRow.id == found.id, SessionRow.refresh_token == known, SessionRow.expires_at > at)
            .values(refresh_token=digest(token), expires_at=at + LIFETIME)
            .returning(SessionRow)
            .execution_options(populate_existing=True)
        )
        if row is not None:
            await _changed(session, row.id)
            return Issued(row, token)
    raise WrongTokenError(operation="refresh", target="invest.sessions", hint="log in again")


async def revoke_session(session: AsyncSession, session_id: UUID) -> None:
    """Ends a session. Raises NotFoundError."""
    ended = await session.scalar(sa.delete(SessionRow).where(SessionRow.id == session_id).returning(SessionRow.id))
    if ended is None:
        raise NotFoundError(
            f"there is no session {session_id}, or it is not yours", operation="revoke", target="invest.sessions"
        )
    await _changed(session, session_id)


async def revoke_all_sessions(session: AsyncSession, user_id: UUID) -> int:
    """Ends all sessions of a user; returns how many there were."""
    ended = (
        await session.scalars(sa.delete(SessionRow).where(SessionRow.user_id == user_id).returning(SessionRow.id))
    ).all()
    for session_id in sorted(ended):
        await _changed(session, session_id)
    return len(ended)


async def _changed(session: AsyncSession, session_id: UUID) -> None:
    await record_async(
        session,
        effects.SESSION_CHANGED,
        key=f"session:{session_id}",
        payload=effects.OfSession(session_id=session_id),
    )
