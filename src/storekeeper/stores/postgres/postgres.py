# Generated from postgres_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The relational store: the ORM's sessions over the pool, one transaction each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from storekeeper.catalog import Catalog
from storekeeper.stores.health import Health
from storekeeper.stores.postgres.deleted import sessions_hiding
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.transaction import DEFAULT, Default, Isolation

T = TypeVar("T")

_NOTHING_LOCAL: Mapping[str, str] = {}


class Postgres:
    """Entities, and whatever else is relational.

    | call | gives |
    | --- | --- |
    | `async with postgres.session(user_id=…) as session` | the ORM in one transaction, committed at the end |
    | `await postgres.perform(function, user_id=…)` | the same with `function(session)`, run again after a deadlock |
    | `async with postgres.begin() as connection` | SQLAlchemy Core in one transaction |
    | `await postgres.run(function)` | the same with `function(connection)`, run again after a deadlock |

    `user_id` is whose rows row-level security lets the transaction see and change; `request_id` is what the access log
    and the audit log call it by. Rows that are marked as deleted are left out of what sessions read, unless a statement
    has the execution option `include_deleted`.
    """

    def __init__(self, pool: Pool, catalog: Catalog | None = None, *, owner: str | None = None) -> None:
        """Borrows from `pool`, which whoever made it opens and closes. The catalogue says what soft deletion is.

        `owner` is the role that owns the tables, where the pool logs in by another one that may become it.
        """
        self.pool = pool
        #: Local settings of a transaction that makes, drops or refreshes what only the owner may.
        self.as_owner: Mapping[str, str] = {} if owner is None else {"role": owner}
        self._sessions = sessions_hiding(Session, catalog.lifecycles if catalog is not None else ())

    def session(
        self,
        *,
        user_id: UUID | str | None = None,
        request_id: str | None = None,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
    ) -> AbstractContextManager[Session]:
        """A session of the ORM in one transaction; see `AsyncPool.begin`. Its objects stay readable afterwards."""
        borrowed = self.pool.begin(
            timeout=timeout,
            operation=operation,
            target=target,
            local=_acting(local, user_id, request_id),
            isolation=isolation,
        )
        return self._session(borrowed)

    def perform(
        self,
        function: Callable[[Session], T],
        *,
        user_id: UUID | str | None = None,
        request_id: str | None = None,
        repeatable: bool = False,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
        retries: int = 3,
    ) -> T:
        """What `function(session)` returns, in a transaction of its own, committed; see `AsyncPool.run`.

        It is run again, with a new session, after a deadlock or a serialization failure; after a lost connection only
        where `repeatable` says that doing it twice is doing it once.
        """

        def in_session(connection: Connection) -> T:
            with self._over(connection) as session:
                found = function(session)
                session.commit()
                return found

        return self.pool.run(
            in_session,
            timeout=timeout,
            operation=operation,
            target=target,
            local=_acting(local, user_id, request_id),
            isolation=isolation,
            retries=retries,
            repeatable=repeatable,
        )

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
        repeatable: bool = False,
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
            repeatable=repeatable,
        )

    def health(self) -> Health:
        """How the store is; a failure is said, not raised."""
        return self.pool.health()

    @contextmanager
    def _session(self, borrowed: AbstractContextManager[Connection]) -> Iterator[Session]:
        with borrowed as connection, self._over(connection) as session:
            yield session
            session.commit()

    def _over(self, connection: Connection) -> Session:
        # the session joins the connection's transaction: its commit only flushes, the block's end commits
        return self._sessions(connection)


def _acting(local: Mapping[str, str], user_id: UUID | str | None, request_id: str | None) -> Mapping[str, str]:
    """The settings of a transaction, with who acts in it and for which request."""
    acting = {
        name: str(value)
        for name, value in (("app.current_user_id", user_id), ("app.request_id", request_id))
        if value is not None
    }
    return {**local, **acting}
