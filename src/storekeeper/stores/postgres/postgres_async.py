"""The relational store: the ORM's sessions over the pool, one transaction each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from storekeeper.stores.health import Health
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.transaction import DEFAULT, Default, Isolation

T = TypeVar("T")

_NOTHING_LOCAL: Mapping[str, str] = {}


class AsyncPostgres:
    """Entities, and whatever else is relational.

    | call | gives |
    | --- | --- |
    | `async with postgres.session() as session` | the ORM in one transaction, committed at the end |
    | `async with postgres.begin() as connection` | SQLAlchemy Core in one transaction |
    | `await postgres.run(function)` | a transaction given as a function, run again after a deadlock |
    """

    def __init__(self, pool: AsyncPool) -> None:
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
    ) -> AbstractAsyncContextManager[AsyncSession]:
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
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        """One transaction; see `AsyncPool.begin`."""
        return self.pool.begin(timeout=timeout, operation=operation, target=target, local=local, isolation=isolation)

    async def run(
        self,
        function: Callable[[AsyncConnection], Awaitable[T]],
        *,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
        retries: int = 3,
    ) -> T:
        """What `function(connection)` returns, in a transaction run again after a deadlock; see `AsyncPool.run`."""
        return await self.pool.run(
            function,
            timeout=timeout,
            operation=operation,
            target=target,
            local=local,
            isolation=isolation,
            retries=retries,
        )

    async def health(self) -> Health:
        """How the store is; a failure is said, not raised."""
        return await self.pool.health()


@asynccontextmanager
async def _session(borrowed: AbstractAsyncContextManager[AsyncConnection]) -> AsyncIterator[AsyncSession]:
    # the session joins the connection's transaction: its commit only flushes, the block's end commits
    async with borrowed as connection, AsyncSession(connection, expire_on_commit=False) as session:
        yield session
        await session.commit()
