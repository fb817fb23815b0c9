# Generated from chat_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Chats with the assistant: what is said is sealed for its user, and opened where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from storekeeper import InputError, KeyRing, NotFoundError, Page, page
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import ChatMessage, Goal

_CONTENT: Final = "deals.chat_messages.content"


@dataclass(frozen=True, slots=True)
class Said:
    """A message, opened. `role` is user, assistant or system; `meta` lies in the store as it is, in the clear."""

    id: UUID
    role: str
    content: str = field(repr=False)
    said_at: datetime
    goal_id: UUID | None
    tokens_used: int
    meta: Mapping[str, Any]


def say(
    session: Session,
    ring: KeyRing,
    user_id: UUID,
    role: str,
    content: str,
    *,
    goal_id: UUID | None = None,
    tokens_used: int = 0,
    meta: Mapping[str, Any] | None = None,
) -> Said:
    """Adds a message to a user's chat: what they said, or what they were told. Messages have the order of their calls.

    `tokens_used` is what the message cost, for the reader; `pricing.charge` takes the tokens. Raises NotFoundError
    where the goal is not the user's, InputError where tokens would be less than none.
    """
    if tokens_used < 0:
        raise InputError(f"{tokens_used} tokens were used", operation="say", target="tokens_used")
    if goal_id is not None:
        own = sa.select(sa.exists().where(Goal.id == goal_id, Goal.user_id == user_id))
        if not session.scalar(own):
            raise NotFoundError(f"the user has no goal {goal_id}", operation="say", target="chat")
    message_id = uuid4()
    sealed = ring.seal(content, place=_CONTENT, row=str(message_id), person=str(user_id))
    message = ChatMessage(
        id=message_id,
        user_id=user_id,
        goal_id=goal_id,
        role=role,
        content=sealed,
        tokens_used=tokens_used,
        # question and answer of one transaction are not of one moment
        created_at=sa.func.clock_timestamp(),
        meta_data=dict(meta or {}),
    )
    session.add(message)
    session.flush()
    return _said(message, content)


def conversation(
    session: Session,
    ring: KeyRing,
    user_id: UUID,
    *,
    goal_id: UUID | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[Said]:
    """A page of a user's chat, or of what was said about one goal: newest first, opened.

    Raises KeyMissingError where the user's key was destroyed, SealedValueError where a message was changed.
    """
    listed = queries.chat(user_id, goal_id=goal_id)
    found = page(session, listed, by=queries.LATEST_SAID, after=after, limit=limit)
    opened = []
    for message in found.items:
        text = ring.open(message.content, place=_CONTENT, row=str(message.id), person=str(message.user_id))
        opened.append(_said(message, text))
    return Page(tuple(opened), found.next)


def _said(message: ChatMessage, content: str) -> Said:
    return Said(
        message.id,
        message.role,
        content,
        message.created_at,
        message.goal_id,
        message.tokens_used,
        message.meta_data,
    )
