# Generated from postgres_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The relational store: the ORM's sessions over the pool, one transaction each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from storekeeper.stores.health import Health
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.transaction import DEFAULT, Default, Isolation

T = TypeVar("T")

_NOTHING_LOCAL: Mapping[str, str] = {}


class Postgres:
    """Entities, and whatever else is relational.

    | call | gives |
    | --- | --- |
    | `async with postgres.session() as session` | the ORM in one transaction, committed at the end |
    | `async with postgres.begin() as connection` | SQLAlchemy Core in one transaction |
    | `await postgres.run(function)` | a transaction given as a function, run again after a deadlock |
    """

    def __init__(self, pool: Pool) -> None:
        """Borrows from `pool`, which whoever made it opens and closes."""
        self.pool = pool

    def session(
        self,
        *,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
    ) -> AbstractContextManager[Session]:
        """A session of the ORM in one transaction; see `AsyncPool.begin`. Its objects stay readable afterwards."""
        borrowed = self.pool.begin(
            timeout=timeout, operation=operation, target=target, local=local, isolation=isolation
        )
        return _session(borrowed)

    def begin(
        self,
        *,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
    ) -> AbstractContextManager[Connection]:
        """One transaction; see `AsyncPool.begin`."""
        return self.pool.begin(timeout=timeout, operation=operation, target=target, local=local, isolation=isolation)

    def run(
        self,
        function: Callable[[Connection], T],
        *,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
        retries: int = 3,
    ) -> T:
        """What `function(connection)` returns, in a transaction run again after a deadlock; see `AsyncPool.run`."""
        return self.pool.run(
            function,
            timeout=timeout,
            operation=operation,
            target=target,
            local=local,
            isolation=isolation,
            retries=retries,
        )

    def health(self) -> Health:
        """How the store is; a failure is said, not raised."""
        return self.pool.health()


@contextmanager
def _session(borrowed: AbstractContextManager[Connection]) -> Iterator[Session]:
    # the session joins the connection's transaction: its commit only flushes, the block's end commits
    with borrowed as connection, Session(connection, expire_on_commit=False) as session:
        yield session
        session.commit()
