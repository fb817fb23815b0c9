"""Entities in and out through the adapter, and a pool that more clients want than it has connections.

The other side is SQLAlchemy alone, which tells the server the same of each transaction: the time zone, how long it may
take, who acts.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from benchmarks.measuring import Measured, measure
from storekeeper import connect
from storekeeper.domains.invest.entities import Portfolio, User
from storekeeper.migrations import apply
from storekeeper.platform import Platform
from storekeeper.servers import running_stack

USERS = 50
READS, WRITES = 400, 200
#: Clients, the connections that they share, and how long each measurement of them takes.
CLIENTS, SIZE, OVERFLOW, SECONDS = 40, 20, 5, 2.0

Opened = Callable[[UUID], AbstractContextManager[Session]]


def run() -> list[Measured]:
    """Every measurement, on a stack of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_stack(folder) as stack, connect(directory=folder, root=folder) as platform:
            apply(platform)
            url = _for_sqlalchemy(platform.url("postgres"))
            bare = sa.create_engine(url, pool_size=SIZE, max_overflow=OVERFLOW)
            try:
                users = _users(_for_sqlalchemy(stack.urls.postgres))
                return [*_entities(platform, bare, users), *_forty_clients(platform, bare)]
            finally:
                bare.dispose()


def _entities(platform: Platform, engine: sa.Engine, users: list[UUID]) -> list[Measured]:
    """One short transaction after the other."""

    def adapted(user: UUID) -> AbstractContextManager[Session]:
        return platform.postgres.session(user_id=user)

    def bare(user: UUID) -> AbstractContextManager[Session]:
        return _bare(engine, user)

    def reads(opened: Opened) -> int:
        for turn in range(READS):
            user = users[turn % len(users)]
            with opened(user) as session:
                found = session.scalars(
                    sa.select(User).where(User.id == user).options(selectinload(User.portfolios))
                ).one()
                assert found.portfolios
        return READS

    def writes(opened: Opened) -> int:
        for turn in range(WRITES):
            user = users[turn % len(users)]
            with opened(user) as session:
                portfolio = session.scalars(sa.select(Portfolio).where(Portfolio.user_id == user)).one()
                portfolio.description = f"turn {turn}"
        return WRITES

    return [
        measure("read an entity and its list, against bare SQLAlchemy", *_both(reads, adapted, bare), target=0.9),
        measure("read and change an entity, against bare SQLAlchemy", *_both(writes, adapted, bare), target=0.9),
    ]


def _both(work: Callable[[Opened], int], ours: Opened, theirs: Opened) -> tuple[Callable[[], int], Callable[[], int]]:
    return lambda: work(ours), lambda: work(theirs)


@contextmanager
def _bare(engine: sa.Engine, user: UUID) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.execute(
            sa.text(
                "SELECT set_config('TimeZone', 'UTC', true), set_config('transaction_timeout', '30s', true),"
                " set_config('app.current_user_id', :user, true)"
            ),
            {"user": str(user)},
        )
        yield session


def _forty_clients(platform: Platform, engine: sa.Engine) -> list[Measured]:
    """Transactions of a hundredth of a second: the least served client against the most, and all against bare ones."""
    shares: list[tuple[float, float]] = []

    def ours() -> int:
        turns = _turns(lambda: platform.postgres.begin(timeout=None))
        shares.append((min(turns) / SECONDS, max(turns) / SECONDS))
        return sum(turns)

    together = measure(
        # whoever gives a connection back there may keep it, which is quick, and starves the others
        "pool: 40 clients over 20 + 5, against SQLAlchemy's",
        ours,
        lambda: sum(_turns(engine.begin)),
        target=0.6,
    )
    least, most = sorted(shares, key=lambda share: share[0] / share[1])[len(shares) // 2]
    fairness = Measured("pool: the least served of 40 clients, against the most", least, most, least / most, 0.7)
    return [replace(fairness, ratio=round(fairness.ratio, 3)), together]


def _turns(begin: Callable[[], AbstractContextManager[sa.Connection]]) -> list[int]:
    """How many transactions each client had."""
    turns = [0] * CLIENTS
    end = threading.Event()

    def client(number: int) -> None:
        while not end.is_set():
            with begin() as connection:
                connection.execute(sa.text("SELECT pg_sleep(0.01)"))
            turns[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    end.set()
    for thread in threads:
        thread.join()
    return turns


def _users(url: str) -> list[UUID]:
    """Users with a portfolio each, as the owner of the tables makes them."""
    engine = sa.create_engine(url)
    with Session(engine) as session, session.begin():
        made = [
            User(
                email=f"user{number}@example.org",
                password_hash="-" * 60,
                first_name="Ada",
                last_name="Lovelace",
                portfolios=[Portfolio(name="Main Portfolio")],
            )
            for number in range(USERS)
        ]
        session.add_all(made)
        session.flush()
        ids = [user.id for user in made]
    engine.dispose()
    return ids


def _for_sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")
