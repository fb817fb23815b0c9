# Generated from matching_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Matching a deal to the goals that it serves, of all users: a job's work, which sees the rows of everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storekeeper import NotFoundError
from storekeeper.domains.deals.entities import Deal, Goal, GoalDeal, User
from storekeeper.domains.deals.relevance import relevance

#: Goals that are locked and scored at a time.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Match:
    """A deal that serves a goal; `new` where it did not before. `threshold` is the score above which its user wants to
    be told."""

    goal_id: UUID
    user_id: UUID
    score: Decimal
    new: bool
    threshold: Decimal | None


def match(session: Session, deal_id: UUID, *, at: datetime) -> tuple[Match, ...]:
    """Scores a deal against every active goal of its category, and returns the goals that it serves.

    Goals that have begun and not ended `at` that moment count. Done again it changes scores and adds no second match; a
    match that the deal no longer deserves becomes `outdated`. A goal that has its `max_matches` gets no further ones.
    A deal that is not active, or has expired, serves no goal: all its matches become `outdated`. Raises NotFoundError.
    """
    deal = session.get(Deal, deal_id)
    if deal is None:
        raise NotFoundError("does not exist", operation="match deal", target=str(deal_id))
    if deal.status != "active" or (deal.expires_at is not None and deal.expires_at <= at):
        _outdate(session, deal_id)
        return ()
    _outdate(session, deal_id, GoalDeal.goal_id.in_(sa.select(Goal.id).where(Goal.category != deal.category)))
    found: list[Match] = []
    last: UUID | None = None
    while goals := _goals(session, deal, at, last):
        found += _matched(session, deal, goals, at)
        last = goals[-1].id
    _count_for_users(session, found)
    return tuple(found)


def _goals(session: Session, deal: Deal, at: datetime, after: UUID | None) -> Sequence[Goal]:
    """The next goals that a deal might serve, locked in the order of their ids, so that two matchings do not cross."""
    statement = (
        sa.select(Goal)
        .where(
            Goal.status == "active",
            Goal.category == deal.category,
            Goal.start_date <= at,
            sa.or_(Goal.end_date.is_(None), Goal.end_date > at),
        )
        .order_by(Goal.id)
        .limit(_BATCH)
        .with_for_update()
        # what another transaction has written since this session read it is what counts
        .execution_options(populate_existing=True)
    )
    if after is not None:
        statement = statement.where(Goal.id > after)
    return (session.scalars(statement)).all()


def _matched(session: Session, deal: Deal, goals: Sequence[Goal], at: datetime) -> list[Match]:
    known = set(
        session.scalars(
            sa.select(GoalDeal.goal_id).where(
                GoalDeal.deal_id == deal.id, GoalDeal.goal_id.in_([goal.id for goal in goals])
            )
        )
    )
    matches: list[Match] = []
    outdated: list[UUID] = []
    for goal in goals:
        goal.last_checked_at = at
        score = relevance(goal, deal)
        if score is None:
            outdated += [goal.id] if goal.id in known else []
            continue
        new = goal.id not in known
        if new and goal.max_matches is not None and goal.total_matches_found >= goal.max_matches:
            continue
        goal.total_matches_found += int(new)
        matches.append(Match(goal.id, goal.user_id, score, new, goal.notification_threshold))
    session.flush()
    if matches:
        session.execute(_writing(deal.id, matches, at))
    if outdated:
        _outdate(session, deal.id, GoalDeal.goal_id.in_(outdated))
    return matches


def _outdate(session: Session, deal_id: UUID, *which: sa.ColumnElement[bool]) -> None:
    """Has matches of a deal no longer count."""
    away = sa.update(GoalDeal).where(GoalDeal.deal_id == deal_id, GoalDeal.status != "outdated", *which)
    session.execute(away.values(status="outdated"), execution_options={"synchronize_session": False})


def _writing(deal_id: UUID, matches: Sequence[Match], at: datetime) -> Any:
    rows = [
        {"goal_id": found.goal_id, "deal_id": deal_id, "relevance_score": found.score, "matched_at": at}
        for found in matches
    ]
    statement = insert(GoalDeal).values(rows)
    return statement.on_conflict_do_update(
        index_elements=["goal_id", "deal_id"],
        set_={"relevance_score": statement.excluded.relevance_score, "status": "active"},
    )


def _count_for_users(session: Session, matches: Sequence[Match]) -> None:
    """`total_deals_found` of the users, changed in the order of their ids."""
    for user_id, count in sorted(Counter(found.user_id for found in matches if found.new).items()):
        counted = sa.update(User).where(User.id == user_id).values(total_deals_found=User.total_deals_found + count)
        session.execute(counted, execution_options={"synchronize_session": False})
