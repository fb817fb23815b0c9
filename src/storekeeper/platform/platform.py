# Generated from platform_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The platform: open stores, a catalogue and a clock, composed. It has no business verbs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
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
from storekeeper.stores.mongo.mongo import Mongo
from storekeeper.stores.postgres.postgres import Postgres
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.urls import pool_parameters, same_pool
from storekeeper.stores.timescale.engine_for import engine_for
from storekeeper.stores.timescale.timescale import Timescale

if TYPE_CHECKING:
    from storekeeper.sealing import KeyRing


class Platform:
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
        self._keyring: KeyRing | None = None
        self._closing = ExitStack()
        self._process = os.getpid()

    def open(self, stores: Sequence[StoreName] = STORES) -> None:
        """Opens these stores, or none. Raises SettingsError where one has no place, and the stores' own errors."""
        try:
            if "postgres" in stores:
                pool = self._pool("postgres")
                self._stores["postgres"] = Postgres(pool, self.catalog, owner=self._owner("postgres"))
            if "timescale" in stores:
                pool = self._pool("timescale")
                self._stores["timescale"] = Timescale(
                    pool,
                    self.catalog,
                    engine_for(pool, self.settings.engine),
                    owner=self._owner("timescale"),
                    service=self._is_service("timescale"),
                    archive=cold_tier(self.settings),
                )
            if "mongo" in stores:
                mongo = Mongo(
                    locate(self.settings, "mongo").url,
                    prefix=self.settings.mongo_database,
                    pool=self.settings.mongo_pool,
                    catalog=self.catalog,
                    clock=self.clock,
                )
                self._opened("mongo", mongo, mongo.open, mongo.close)
            if "redis" in stores:
                redis = Redis(
                    locate(self.settings, "redis").url,
                    prefix=self.settings.redis_prefix,
                    pool=self.settings.redis_pool,
                    catalog=self.catalog,
                    clock=self.clock,
                )
                self._opened("redis", redis, redis.open, redis.close)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes every store; running work gets `settings.close_deadline` seconds."""
        self._stores.clear()
        self._keyring = None
        self._closing.close()

    @property
    def postgres(self) -> Postgres:
        """The relational store."""
        store: Postgres = self._store("postgres")
        return store

    @property
    def timescale(self) -> Timescale:
        """The time-series store."""
        store: Timescale = self._store("timescale")
        return store

    @property
    def mongo(self) -> Mongo:
        """The document store."""
        store: Mongo = self._store("mongo")
        return store

    @property
    def redis(self) -> Redis:
        """The key store."""
        store: Redis = self._store("redis")
        return store

    @property
    def keyring(self) -> KeyRing:
        """The key ring, which is opened when it is first used. Raises SettingsError where its place is a store's."""
        if os.getpid() != self._process:
            raise ForkedError(target="key ring", hint=_AFTER_FORK)
        if self._keyring is None:
            # late: most processes seal nothing, and cryptography takes its time to import
            from storekeeper.platform.ring import master_keys, ring_place
            from storekeeper.sealing import KeyRing

            self._keyring = KeyRing(ring_place(self.settings), lambda: master_keys(self.settings))
            self._closing.callback(self._keyring.close)
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

    def health(self) -> tuple[Health, ...]:
        """One answer a store that is open."""
        return tuple([replace(self._store(name).health(), store=name) for name in self._stores])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _store(self, name: str) -> Any:
        if os.getpid() != self._process:
            raise ForkedError(target=name, hint=_AFTER_FORK)
        if name not in self._stores:
            raise StoreError("is not open", target=name, hint="name it in connect(stores=…), and use it before close()")
        return self._stores[name]

    def _pool(self, store: StoreName) -> Pool:
        """The pool of a SQL store: that of `postgres` where server, database and role are the same."""
        url = self.url(store)
        relational: Postgres | None = self._stores.get("postgres")
        if relational is not None and same_pool(url, self.url("postgres")):
            return relational.pool
        defaults = (store == "timescale" and self.settings.timescale_pool) or self.settings.pool
        pool = Pool(
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
        pool.open()
        self._closing.callback(pool.close, self.settings.close_deadline)
        return pool

    def _owner(self, store: StoreName) -> str | None:
        """The owner's name, where this role logs in by another and may become that one."""
        return owner_elsewhere(self.settings, store, self.role) if self.role == "jobs" else None

    def _is_service(self, store: StoreName) -> bool:
        """Whether the login is that of services, and they are not the owner."""
        own = login(self.settings, store, self.role)
        return own == login(self.settings, store, "app") != login(self.settings, store, "owner")

    def _opened(self, name: str, store: object, opening: Callable[[], None], closing: Callable[[], None]) -> None:
        opening()
        self._closing.callback(closing)
        self._stores[name] = store


_AFTER_FORK = "open a platform in each process: call connect() after the fork"
