"""Postings to the token ledger by eight clients: 2 processes of 4 threads, against the same rules in plain ORM code.

Every client posts to users at random, some often, each under a reference of its own; now and then it posts one again.
At the end no posting is lost or there twice, and every balance, ledger and history says the same.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks.measuring import Measured, measure
from storekeeper import Platform, connect
from storekeeper.domains.deals import queries
from storekeeper.domains.deals.entities import BalanceChange, TokenBalance, TokenTransaction, User
from storekeeper.domains.deals.operations.tokens import post
from storekeeper.domains.deals.postings import Posting
from storekeeper.migrations import apply
from storekeeper.servers import running_stack

PROCESSES, THREADS = 2, 4
#: What each client posts a round, and how many of those again.
POSTINGS, AGAIN = 150, 5
USERS = 400
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)

Way = Callable[[Posting], object]


def run() -> list[Measured]:
    """Both ways, on a stack of its own; and ours against a thousand a second."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder)),
        connect(directory=Path(folder), root=Path(folder)) as platform,
    ):
        with connect(directory=Path(folder), root=Path(folder), role="owner") as owner:
            apply(owner)
        users = _users(platform)
        with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _open, (folder,)) as clients:

            def posted(way: str) -> int:
                rounds = [clients.submit(_client_process, way, users, seed) for seed in range(PROCESSES)]
                references = [reference for one in rounds for reference in one.result()]
                return len(references)

            against = measure(
                "ledger postings of 8 clients, against the ORM",
                lambda: posted("ours"),
                lambda: posted("theirs"),
                target=1.0,
            )
        with connect(stores=("postgres",), directory=Path(folder), root=Path(folder), role="jobs") as seeing_all:
            _verify(seeing_all, 2 * 6 * PROCESSES * THREADS * POSTINGS)
    alone = replace(against, name="ledger postings of 8 clients, against 1,000 a second", theirs=1000.0)
    return [against, replace(alone, ratio=round(against.ours / 1000, 3))]


def _users(platform: Platform) -> list[UUID]:
    """Users who have enough to spend."""
    ids = [uuid4() for _ in range(USERS)]
    for one in ids:
        with platform.postgres.session(user_id=one) as session:
            session.add(User(id=one, email=f"{one}@example.org", hashed_password="x"))
            session.flush()
            post(session, Posting(user_id=one, type="purchase", amount=Decimal(10**6)), at=MOMENT)
    return ids


def _verify(platform: Platform, expected: int) -> None:
    with platform.postgres.session(timeout=None) as session:
        assert session.execute(queries.unbalanced()).all() == []
        rows, references = session.execute(
            sa.select(sa.func.count(), sa.func.count(sa.distinct(TokenTransaction.reference_id))).where(
                TokenTransaction.reference_id.is_not(None)
            )
        ).one()
        assert rows == references == expected, (rows, references, expected)


# in each process of clients ------------------------------------------------------------------------------------------

_ways: dict[str, Way] = {}
_threads = ThreadPoolExecutor(THREADS)


def _open(folder: str) -> None:
    """Opens the platform for this process's clients; both ways use the same server by the same role."""
    # closed with the process: nothing it holds outlives the stack
    platform = connect(stores=("postgres",), directory=Path(folder), root=Path(folder))
    platform.__enter__()
    url = platform.url("postgres").replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url, pool_size=THREADS)

    def ours(posting: Posting) -> object:
        return platform.postgres.perform(
            lambda session: post(session, posting, at=MOMENT), user_id=posting.user_id, repeatable=True
        )

    def theirs(posting: Posting) -> object:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            return _by_the_orm(session, posting)

    _ways.update(ours=ours, theirs=theirs)


def _client_process(way: str, users: Sequence[UUID], seed: int) -> list[UUID]:
    clients = [_threads.submit(_client, _ways[way], users, seed * THREADS + number) for number in range(THREADS)]
    return [reference for client in clients for reference in client.result()]


def _client(way: Way, users: Sequence[UUID], seed: int) -> list[UUID]:
    """Posts, and says under which references."""
    chance = random.Random(seed)
    done: list[Posting] = []
    for _ in range(POSTINGS):
        # a few users are posted to often
        user = users[int(chance.random() ** 2 * len(users))]
        amount = Decimal(chance.choice((-3, -2, -1, 5)))
        kind = "reward" if amount > 0 else "ai_usage"
        posting = Posting(user_id=user, type=kind, amount=amount, reference_id=uuid4())  # type: ignore[arg-type]  # either
        way(posting)
        done.append(posting)
    for posting in chance.sample(done, AGAIN):
        way(posting)
    return [posting.reference_id for posting in done if posting.reference_id is not None]


def _by_the_orm(session: Session, posting: Posting) -> TokenTransaction:
    """The rules of `post`, as one writes them with entities alone."""
    session.execute(sa.select(sa.func.set_config("app.current_user_id", str(posting.user_id), True)))
    balance = session.scalars(
        sa.select(TokenBalance).where(TokenBalance.user_id == posting.user_id).with_for_update()
    ).one()
    past = session.scalar(
        sa.select(TokenTransaction).where(
            TokenTransaction.reference_id == posting.reference_id, TokenTransaction.user_id == posting.user_id
        )
    )
    if past is not None:
        return past
    before = balance.balance
    if before + posting.amount < 0:
        raise ValueError("insufficient")
    balance.balance = before + posting.amount
    balance.lifetime_earned += max(posting.amount, Decimal(0))
    balance.lifetime_spent += max(-posting.amount, Decimal(0))
    made = TokenTransaction(
        user_id=posting.user_id,
        type=posting.type,
        amount=posting.amount,
        balance_after=balance.balance,
        status="completed",
        reference_id=posting.reference_id,
    )
    session.add(made)
    session.flush()
    session.add(
        BalanceChange(
            user_id=posting.user_id,
            balance_before=before,
            balance_after=balance.balance,
            change_amount=posting.amount,
            change_type=posting.type,
            transaction_id=made.id,
        )
    )
    session.flush()
    return made
