"""The platform: open stores, a catalogue and a clock, composed. It has no business verbs."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from storekeeper.catalog import Catalog
from storekeeper.clock import Clock
from storekeeper.errors import ForkedError, StoreError
from storekeeper.platform.archive import cold_tier
from storekeeper.platform.locating import STORES, Role, StoreName, direct_url, locate, login, owner_elsewhere
from storekeeper.settings import Settings
from storekeeper.stores.health import Health
from storekeeper.stores.mongo.mongo_async import AsyncMongo
from storekeeper.stores.postgres.postgres_async import AsyncPostgres
from storekeeper.stores.redis.redis_async import AsyncRedis
from storekeeper.stores.sql.pool_async import AsyncPool
from storekeeper.stores.sql.urls import pool_parameters, same_pool
from storekeeper.stores.timescale.engine_for_async import engine_for
from storekeeper.stores.timescale.timescale_async import AsyncTimescale

if TYPE_CHECKING:
    from storekeeper.sealing import AsyncKeyRing


class AsyncPlatform:
    """Four open stores, a catalogue and a clock, bound to the process (and event loop) that opened them.

    A store that was not opened raises StoreError when it is asked for; after a fork every one raises ForkedError.
    """

    def __init__(self, settings: Settings, catalog: Catalog, clock: Clock, role: Role = "app") -> None:
        """Opens nothing. `role` is as whom the SQL stores are logged in to."""
        self.role: Role = role
        self.settings = settings
        self.catalog = catalog
        self.clock = clock
        self._stores: dict[str, Any] = {}
        self._keyring: AsyncKeyRing | None = None
        self._closing = AsyncExitStack()
        self._process = os.getpid()

    async def open(self, stores: Sequence[StoreName] = STORES) -> None:
        """Opens these stores, or none. Raises SettingsError where one has no place, and the stores' own errors."""
        try:
            if "postgres" in stores:
                pool = await self._pool("postgres")
                self._stores["postgres"] = AsyncPostgres(pool, self.catalog, owner=self._owner("postgres"))
            if "timescale" in stores:
                pool = await self._pool("timescale")
                self._stores["timescale"] = AsyncTimescale(
                    pool,
                    self.catalog,
                    await engine_for(pool, self.settings.engine),
                    owner=self._owner("timescale"),
                    service=self._is_service("timescale"),
                    archive=cold_tier(self.settings),
                )
            if "mongo" in stores:
                mongo = AsyncMongo(
                    locate(self.settings, "mongo").url,
                    prefix=self.settings.mongo_database,
                    pool=self.settings.mongo_pool,
                    catalog=self.catalog,
                    clock=self.clock,
                )
                await self._opened("mongo", mongo, mongo.open, mongo.close)
            if "redis" in stores:
                redis = AsyncRedis(
                    locate(self.settings, "redis").url,
                    prefix=self.settings.redis_prefix,
                    pool=self.settings.redis_pool,
                    catalog=self.catalog,
                    clock=self.clock,
                )
                await self._opened("redis", redis, redis.open, redis.close)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes every store; running work gets `settings.close_deadline` seconds."""
        self._stores.clear()
        self._keyring = None
        await self._closing.aclose()

    @property
    def postgres(self) -> AsyncPostgres:
        """The relational store."""
        store: AsyncPostgres = self._store("postgres")
        return store

    @property
    def timescale(self) -> AsyncTimescale:
        """The time-series store."""
        store: AsyncTimescale = self._store("timescale")
        return store

    @property
    def mongo(self) -> AsyncMongo:
        """The document store."""
        store: AsyncMongo = self._store("mongo")
        return store

    @property
    def redis(self) -> AsyncRedis:
        """The key store."""
        store: AsyncRedis = self._store("redis")
        return store

    @property
    def keyring(self) -> AsyncKeyRing:
        """The key ring, which is opened when it is first used. Raises SettingsError where its place is a store's."""
        if os.getpid() != self._process:
            raise ForkedError(target="key ring", hint=_AFTER_FORK)
        if self._keyring is None:
            # late: most processes seal nothing, and cryptography takes its time to import
            from storekeeper.platform.ring import master_keys, ring_place
            from storekeeper.sealing import AsyncKeyRing

            self._keyring = AsyncKeyRing(ring_place(self.settings), lambda: master_keys(self.settings))
            self._closing.push_async_callback(self._keyring.close)
        return self._keyring

    @property
    def opened(self) -> tuple[str, ...]:
        """The names of the stores that are open."""
        return tuple(self._stores)

    def url(self, store: StoreName, *, direct: bool = False, role: Role | None = None) -> str:
        """The URL of a store, password included; `direct` goes past a transaction-mode pooler of `postgres`. Of a SQL
        store for this platform's role, or for another."""
        if direct and store in ("postgres", "timescale"):
            return direct_url(self.settings, store, role or self.role)
        return locate(self.settings, store, role or self.role).url

    async def health(self) -> tuple[Health, ...]:
        """One answer a store that is open."""
        return tuple([replace(await self._store(name).health(), store=name) for name in self._stores])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _store(self, name: str) -> Any:
        if os.getpid() != self._process:
            raise ForkedError(target=name, hint=_AFTER_FORK)
        if name not in self._stores:
            raise StoreError("is not open", target=name, hint="name it in connect(stores=…), and use it before close()")
        return self._stores[name]

    async def _pool(self, store: StoreName) -> AsyncPool:
        """The pool of a SQL store: that of `postgres` where server, database and role are the same."""
        url = self.url(store)
        relational: AsyncPostgres | None = self._stores.get("postgres")
        if relational is not None and same_pool(url, self.url("postgres")):
            return relational.pool
        defaults = (store == "timescale" and self.settings.timescale_pool) or self.settings.pool
        pool = AsyncPool(
            url,
            pool=pool_parameters(url, defaults),
            connect_timeout=self.settings.connect_timeout,
            transaction_timeout=self.settings.transaction_timeout,
            slow_query=self.settings.slow_query,
            prepared=self.settings.prepared_statements,
            store=store,
            clock=self.clock,
            catalog=self.catalog,
        )
        await pool.open()
        self._closing.push_async_callback(pool.close, self.settings.close_deadline)
        return pool

    def _owner(self, store: StoreName) -> str | None:
        """The owner's name, where this role logs in by another and may become that one."""
        return owner_elsewhere(self.settings, store, self.role) if self.role == "jobs" else None

    def _is_service(self, store: StoreName) -> bool:
        """Whether the login is that of services, and they are not the owner."""
        own = login(self.settings, store, self.role)
        return own == login(self.settings, store, "app") != login(self.settings, store, "owner")

    async def _opened(
        self, name: str, store: object, opening: Callable[[], Awaitable[None]], closing: Callable[[], Awaitable[None]]
    ) -> None:
        await opening()
        self._closing.push_async_callback(closing)
        self._stores[name] = store


_AFTER_FORK = "open a platform in each process: call connect() after the fork"
