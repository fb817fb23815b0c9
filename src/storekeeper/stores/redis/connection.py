# Generated from connection_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The connection to a Redis server or cluster: opened once, bound to its process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from queue import Empty
from typing import Any, NoReturn

from redis import BlockingConnectionPool, Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError, RedisError, TimeoutError as LateError
from redis.retry import Retry

from storekeeper.errors import (
    ForkedError,
    PoolTimeoutError,
    SettingsError,
    StatementTimeoutError,
    StoreError,
    UnavailableError,
    WrongServerError,
)
from storekeeper.settings import ClientPool
from storekeeper.stores.redis.client import client_options
from storekeeper.stores.redis.failures import translate, translated, unwrapped
from storekeeper.stores.redis.version import too_old, version_of
from storekeeper.stores.spoken import spoken_at


class Connection:
    """A client and its pool; `operation()` lends the client for one operation. `clustered` once it is open."""

    def __init__(self, url: str, pool: ClientPool) -> None:
        self._told = client_options(url, pool)
        self._client: Any = None
        self._process = os.getpid()
        self.clustered = False

    def open(self) -> None:
        """Connects, and asks the server what it is. Raises UnavailableError, AuthenticationError, WrongServerError."""
        if self._client is not None:
            raise StoreError("is open already", operation="open", target="redis")
        self._process = os.getpid()
        about = self._introduced()
        if old := too_old(about):
            raise WrongServerError(
                f"the server is {old}",
                operation="open",
                target="redis",
                hint="storekeeper needs Redis 7.0, Valkey 7.2, or newer",
            )
        self.clustered = int(about.get("cluster_enabled", 0)) == 1
        with translated("open", "redis"):
            if self.clustered:
                options = {**self._told.options, "max_connections": self._told.pool.size}
                self._client = RedisCluster.from_url(self._told.url, **options)
            else:
                pool = self._pool(self._told.pool.size)
                self._client = Redis.from_pool(pool)
            try:
                (self._client.ping() if self.clustered else _fill(pool, self._told.pool.min))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Closes every connection. In a forked child it does nothing: the connections are the parent's."""
        if self._client is not None and self._process == os.getpid():
            client, self._client = self._client, None
            client.close()

    @property
    def client(self) -> Any:
        """The driver's client. Raises ForkedError, or StoreError where it is not open."""
        if self._process != os.getpid():
            raise ForkedError(target="redis", hint="open a platform in each process, after the fork")
        if self._client is None:
            raise StoreError("is not open", target="redis", hint="use `with`, or call open()")
        return self._client

    @contextmanager
    def operation(self, operation: str, target: str) -> Iterator[Any]:
        """The client, for one operation: its failures are translated."""
        client = self.client
        with translated(operation, target):
            yield client

    def version(self) -> str:
        """Asks the server: "valkey 8.1.8"."""
        with self.operation("ask", "redis") as client:
            about = client.execute_command("INFO", "server", **self._anywhere())
        return version_of(about)

    def _anywhere(self) -> Mapping[str, Any]:
        """Of a cluster any one node will do."""
        return {"target_nodes": RedisCluster.RANDOM} if self.clustered else {}

    def _pool(self, size: int, **options: Any) -> _Pool:
        # A command is never repeated behind the caller's back: it might count a call twice. What a dead connection did
        # not take is seen before it is used.
        once = Retry(NoBackoff(), 0)
        return _Pool.from_url(
            self._told.url,
            max_connections=size,
            timeout=self._told.pool.operation,
            **{**self._told.options, "retry": once, **options},
        )

    def _introduced(self) -> Mapping[str, Any]:
        """What the server says of itself, over a connection that waits no longer for an answer than for connecting."""
        pool = self._pool(1, socket_timeout=self._told.pool.connect)
        client = Redis.from_pool(pool)
        try:
            return {**client.info("server"), **client.info("cluster")}
        except RedisError as error:
            self._refuse(error)
        except UnavailableError as error:
            self._refuse(error)
        except TypeError as error:  # the driver takes parameters of the URL for arguments of its own
            raise SettingsError(
                "a parameter of the URL is unknown", operation="read URL", target="redis", hint=str(error)
            ) from error
        finally:
            client.close()

    def _refuse(self, error: RedisError | UnavailableError) -> NoReturn:
        """Raises what is wrong with the server of the URL."""
        failure: Exception = error
        if isinstance(error, RedisError):
            failure = translate(error, operation="open", target="redis")
        late = isinstance(failure, StatementTimeoutError)
        if late or isinstance(failure, (UnavailableError, WrongServerError)):
            kind = spoken_at(self._told.address)
            if kind not in (None, "unknown", "Redis"):
                raise WrongServerError(
                    f"that is a server of another kind: it speaks {kind}",
                    operation="open",
                    target="redis",
                    hint="give the URL of a Redis server: redis://HOST:6379/0",
                ) from error
        if late:
            raise UnavailableError(
                "it accepts connections, and does not answer in time", operation="open", target="redis"
            ) from error
        raise failure from error


class _Pool(BlockingConnectionPool):
    """A pool that tells three things apart which the driver has one class for: a full pool, a server that does not
    answer, and an operation that takes too long."""

    def get_connection(self, *names: Any, **options: Any) -> Any:
        try:
            return super().get_connection(*names, **options)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        except RedisError as error:
            if isinstance(unwrapped(error), LateError):
                raise UnavailableError("it does not answer in time", operation="connect to", target="redis") from error
            if isinstance(error, LostError) and isinstance(error.__cause__ or error.__context__, (Empty, TimeoutError)):
                raise PoolTimeoutError(
                    operation="connect to", target="redis", hint="raise pool_size, or hold connections shorter"
                ) from error
            raise


def _fill(pool: _Pool, count: int) -> None:
    """Opens so many connections, and leaves them to the pool."""
    with ExitStack() as borrowed:
        for _ in range(count):
            borrowed.callback(pool.release, pool.get_connection())
