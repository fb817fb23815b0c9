"""Notifications: written as their user wants them, held back in quiet hours, sent, delivered and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from storekeeper import InputError, NotFoundError, RefusedError
from storekeeper.domains.deals.entities import Notification, NotificationSettings, User
from storekeeper.domains.deals.quiet_hours import released

#: What a type is called in the settings; the other types cannot be switched off.
_SWITCH: Final[Mapping[str, str]] = {"deal": "deal_alerts", "price_alert": "price_drops", "goal": "goal_updates"}

#: Where a status may go: read is the last word, and what failed may be sent again.
_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    "sent": ("pending", "failed"),
    "delivered": ("sent",),
    "failed": ("pending", "sent"),
    "read": ("pending", "sent", "delivered"),
}

#: Where `due` looks for the end of the quiet hours that hold a notification back.
HELD: Final = "held_until"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a user is to be told."""

    user_id: UUID
    type: str
    title: str
    message: str
    priority: str = "medium"
    goal_id: UUID | None = None
    deal_id: UUID | None = None
    action_url: str | None = None


async def notify(session: AsyncSession, notice: Notice, *, at: datetime) -> Notification | None:
    """Writes a notification for the channels that its user wants for its type; None where they want none of them.

    In-app messages cannot be switched off, but a user may leave the channel out. Within the user's quiet hours, by the
    clock of their own zone (of UTC, where they name one that nobody knows), all but critical ones are held back until
    these end: `due` shows them then. Raises NotFoundError where there is no such user, or the session may not see them.
    """
    user = (
        await session.scalars(
            sa.select(User)
            .where(User.id == notice.user_id)
            .options(selectinload(User.notification_settings), selectinload(User.wishes))
        )
    ).one_or_none()
    if user is None:
        raise NotFoundError("no such user", operation="notify", target=str(notice.user_id))
    channels = _channels(user, notice.type)
    if not channels:
        return None
    settings = user.notification_settings
    until = at
    if settings is not None and notice.priority != "critical":
        hours = settings.quiet_hours_start, settings.quiet_hours_end
        try:
            until = released(at, *hours, user.preferences.timezone)
        except InputError:
            # what one user made of their preferences must not keep a job from telling the others
            until = released(at, *hours, None)
    notification = Notification(
        user_id=notice.user_id,
        type=notice.type,
        priority=notice.priority,
        title=notice.title,
        message=notice.message,
        goal_id=notice.goal_id,
        deal_id=notice.deal_id,
        action_url=notice.action_url,
        channels=channels,
        meta_data={HELD: until.isoformat()} if until > at else {},
    )
    session.add(notification)
    await session.flush()
    return notification


async def due(session: AsyncSession, *, at: datetime, limit: int = 100) -> Sequence[Notification]:
    """Pending notifications that may go out `at` that moment, oldest first, locked for whoever sends them.

    What another sender has locked is left out, so any number of senders may ask at once.
    """
    held = sa.cast(Notification.meta_data[HELD].astext, sa.DateTime(timezone=True))
    statement = (
        sa.select(Notification)
        .where(Notification.status == "pending", sa.or_(held.is_(None), held <= at))
        .order_by(Notification.created_at, Notification.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.scalars(statement)).all()


async def advance(session: AsyncSession, notification_id: UUID, status: str, *, at: datetime) -> Notification:
    """Notes that a notification was `sent`, `delivered`, `read`, or `failed`; noted twice, the first moment stays.

    Raises NotFoundError, and RefusedError where it cannot come from the status that it has.
    """
    notification = await session.get(Notification, notification_id, with_for_update=True)
    if notification is None:
        raise NotFoundError("no such notification", operation="advance", target=str(notification_id))
    if notification.status == status:
        return notification
    if notification.status not in _NEXT.get(status, ()):
        raise RefusedError(
            f"is {notification.status}, and cannot become {status}",
            operation="advance notification",
            target=str(notification_id),
        )
    notification.status = status
    if status != "failed":
        setattr(notification, f"{status}_at", at)
    await session.flush()
    return notification


async def read_all(session: AsyncSession, user_id: UUID, *, at: datetime) -> int:
    """Marks what a user has not read as read, and returns how many that were."""
    statement = (
        sa.update(Notification)
        .where(Notification.user_id == user_id, Notification.read_at.is_(None), Notification.status != "failed")
        .values(status="read", read_at=at)
        .returning(Notification.id)
    )
    return len((await session.execute(statement, execution_options={"synchronize_session": False})).all())


async def settle(session: AsyncSession, user_id: UUID, **wanted: object) -> NotificationSettings:
    """Changes what a user wants to be told, and when; what is not named stays. Made where there were no settings.

    `quiet_hours_start` and `quiet_hours_end` are both times of the user's own day, or both None.
    """
    unknown = sorted(set(wanted) - _SETTABLE)
    if unknown:
        raise RefusedError(f"no such setting: {', '.join(unknown)}", operation="change settings", target=str(user_id))
    # of two who come at once one waits here for the other
    await session.execute(insert(NotificationSettings).values(user_id=user_id).on_conflict_do_nothing())
    settings = await session.get_one(NotificationSettings, user_id, with_for_update=True)
    start = wanted.get("quiet_hours_start", settings.quiet_hours_start)
    end = wanted.get("quiet_hours_end", settings.quiet_hours_end)
    if (start is None) != (end is None):
        raise RefusedError(
            "quiet hours have a start and an end", operation="change settings", target=str(user_id), hint="give both"
        )
    for name, value in wanted.items():
        setattr(settings, name, value)
    await session.flush()
    return settings


def _channels(user: User, type_: str) -> list[str]:
    """The user's channels that are not switched off, for all messages or for those of this type."""
    switch = _SWITCH.get(type_)
    settings, wishes = user.notification_settings, user.wishes

    def wanted(channel: str) -> bool:
        if channel not in ("email", "push"):
            return True
        if wishes is not None and not getattr(wishes, f"notification_{channel}"):
            return False
        return settings is None or switch is None or bool(getattr(settings, f"{channel}_{switch}"))

    return [channel for channel in user.notification_channels if wanted(channel)]


_SETTABLE: Final = frozenset(
    {f"{channel}_{switch}" for channel in ("email", "push") for switch in _SWITCH.values()}
    | {"quiet_hours_start", "quiet_hours_end"}
)
