# Generated from tokens_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The token ledger: postings that a user's balance, its history and the ledger always agree on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, make_transient_to_detached

from storekeeper import NotFoundError, OperationError
from storekeeper.domains.deals.entities import TokenBalance, TokenTransaction
from storekeeper.domains.deals.errors import GoalBudgetError, InsufficientTokensError, ReferenceTakenError
from storekeeper.domains.deals.postings import Posting

_OUTCOME = sa.column("outcome", sa.Text)
_COLUMNS = tuple(TokenTransaction.__table__.columns.keys())

_POST = (
    sa.text(
        "SELECT (p.posting).*, p.outcome FROM deals.post_tokens("
        ":of_user, :of_type, :change, :of_reference, :of_text, :for_goal, :of_hash, :more, :at) p"
    )
    .bindparams(
        sa.bindparam("of_user", type_=sa.Uuid),
        sa.bindparam("of_type", type_=sa.Text),
        sa.bindparam("change", type_=sa.Numeric),
        sa.bindparam("of_reference", type_=sa.Uuid),
        sa.bindparam("of_text", type_=sa.Text),
        sa.bindparam("for_goal", type_=sa.Uuid),
        sa.bindparam("of_hash", type_=sa.Text),
        sa.bindparam("more", type_=JSONB),
        sa.bindparam("at", type_=sa.DateTime(timezone=True)),
    )
    .columns(*TokenTransaction.__table__.columns, _OUTCOME)
)


def post(session: Session, posting: Posting, *, at: datetime) -> TokenTransaction:
    """Changes a user's balance, and says so in the ledger and in the history: all three, or nothing.

    The balance never falls below zero. Postings of one user happen one after the other, under the lock of their
    balance; a goal's row is locked before it. With a reference it is idempotent: posted again, it is the first one that
    is returned. A purchase is noted as the user's last payment, made `at`.

    What the session holds of the balance and of the goal is as old as it was: refresh it where it is needed.

    Raises InsufficientTokensError, GoalBudgetError, ReferenceTakenError (the reference stands for another type, amount
    or goal), and NotFoundError where the goal is not the user's.
    """
    # past the ORM's loading, which takes longer than the posting itself
    connection = session.connection()
    told = connection.execute(
        _POST,
        {
            "of_user": posting.user_id,
            "of_type": posting.type,
            "change": posting.amount,
            "of_reference": posting.reference_id,
            "of_text": posting.description,
            "for_goal": posting.goal_id,
            "of_hash": posting.tx_hash,
            "more": dict(posting.meta_data),
            "at": at,
        },
    )
    *values, outcome = told.one()
    if outcome == "posted":
        return _as_loaded(session, values)
    told_id, told_at = values[0], values[_COLUMNS.index("created_at")]
    known = None if told_id is None else session.get(TokenTransaction, (told_id, told_at))
    if outcome == "repeated" and known is not None:
        return known
    raise _refusal(posting, outcome, known)


def balance_of(session: Session, user_id: UUID) -> Decimal:
    """How many tokens a user has; none where nothing was ever posted."""
    balance = session.scalar(sa.select(TokenBalance.balance).where(TokenBalance.user_id == user_id))
    return Decimal(0) if balance is None else balance


def _as_loaded(session: Session, values: Sequence[Any]) -> TokenTransaction:
    """The entity of a row that the server has just written, as if the session had read it."""
    transaction = TokenTransaction(**dict(zip(_COLUMNS, values, strict=True)))
    make_transient_to_detached(transaction)
    session.add(transaction)
    return transaction


def _refusal(posting: Posting, outcome: str, other: TokenTransaction | None) -> OperationError:
    target = f"{posting.type} of {posting.amount} tokens"
    match outcome:
        case "insufficient":
            return InsufficientTokensError(
                operation="post", target=target, hint="tokens have to be bought or earned before they are spent"
            )
        case "budget":
            return GoalBudgetError(operation="post", target=target, hint="return the goal's max_tokens")
        case "no_goal":
            return NotFoundError(f"the user has no goal {posting.goal_id}", operation="post", target=target)
        case _:
            return ReferenceTakenError(
                f"reference {posting.reference_id} stands for another posting",
                operation="post",
                target=target,
                hint="a reference names one posting of a user: take a new one for another",
                posting=other,
            )
