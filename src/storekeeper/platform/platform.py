# Generated from platform_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The platform: open stores, a catalogue and a clock, composed. It has no business verbs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from storekeeper.catalog import Catalog
from storekeeper.clock import Clock
from storekeeper.errors import ForkedError, StoreError
from storekeeper.platform.locating import STORES, StoreName, locate
from storekeeper.settings import Settings
from storekeeper.stores.health import Health
from storekeeper.stores.mongo.mongo import Mongo
from storekeeper.stores.postgres.postgres import Postgres
from storekeeper.stores.redis.redis import Redis
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.urls import pool_parameters, same_pool
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import choose_engine


class Platform:
    """Four open stores, a catalogue and a clock, bound to the process (and event loop) that opened them.

    A store that was not opened raises StoreError when it is asked for; after a fork every one raises ForkedError.
    """

    def __init__(self, settings: Settings, catalog: Catalog, clock: Clock) -> None:
        self.settings = settings
        self.catalog = catalog
        self.clock = clock
        self._stores: dict[str, Any] = {}
        self._closing = ExitStack()
        self._process = os.getpid()

    def open(self, stores: Sequence[StoreName] = STORES) -> None:
        """Opens these stores, or none. Raises SettingsError where one has no place, and the stores' own errors."""
        try:
            if "postgres" in stores:
                pool = self._pool("postgres")
                self._stores["postgres"] = Postgres(pool, self.catalog)
            if "timescale" in stores:
                pool = self._pool("timescale")
                self._stores["timescale"] = Timescale(pool, self.catalog, choose_engine(None, self.settings.engine))
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
    def opened(self) -> tuple[str, ...]:
        """The names of the stores that are open."""
        return tuple(self._stores)

    def url(self, store: StoreName, *, direct: bool = False) -> str:
        """The URL of a store, password included; `direct` goes past a transaction-mode pooler of `postgres`."""
        past_pooler = self.settings.postgres_direct_url
        if direct and past_pooler is not None:
            pooled = locate(self.settings, "postgres").url
            if store == "postgres" or (store == "timescale" and locate(self.settings, "timescale").url == pooled):
                return past_pooler.get_secret_value()
        return locate(self.settings, store).url

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
            raise ForkedError(target=name, hint="open a platform in each process: call connect() after the fork")
        if name not in self._stores:
            raise StoreError("is not open", target=name, hint="name it in connect(stores=…), and use it before close()")
        return self._stores[name]

    def _pool(self, store: StoreName) -> Pool:
        """The pool of a SQL store: that of `postgres` where server, database and role are the same."""
        url = locate(self.settings, store).url
        relational: Postgres | None = self._stores.get("postgres")
        if relational is not None and same_pool(url, locate(self.settings, "postgres").url):
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
        )
        pool.open()
        self._closing.callback(pool.close, self.settings.close_deadline)
        return pool

    def _opened(self, name: str, store: object, opening: Callable[[], None], closing: Callable[[], None]) -> None:
        opening()
        self._closing.callback(closing)
        self._stores[name] = store
