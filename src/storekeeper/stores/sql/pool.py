# Generated from pool_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The connections of one process and role to one SQL store: borrowed, opened on terms, given back clean."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    suppress,
)
from math import ceil
from os import dup
from time import monotonic
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import Connection, Engine, create_engine

from storekeeper.catalog import Catalog
from storekeeper.clock import Clock
from storekeeper.errors import (
    ConflictError,
    PoolTimeoutError,
    StoreError,
    UnavailableError,
)
from storekeeper.settings import SqlPool, without_password
from storekeeper.stores.health import Health
from storekeeper.stores.sql.access import listen_access, personal_columns
from storekeeper.stores.sql.failures import POOL_HINT, RETRIED, sqlstate_of, translated
from storekeeper.stores.sql.fair import FairPool
from storekeeper.stores.sql.holders import Holder, Holders, caller
from storekeeper.stores.sql.listeners import HOLDER, TERMS, Watch, listen
from storekeeper.stores.sql.origin import Origin, here
from storekeeper.stores.sql.refused import refused
from storekeeper.stores.sql.rules import Rules
from storekeeper.stores.sql.slow import SlowQuery
from storekeeper.stores.sql.statistics import PoolStatistics
from storekeeper.stores.sql.transaction import DEFAULT, Default, Isolation, Terms
from storekeeper.stores.sql.urls import pool_parameters, sqlalchemy_url

T = TypeVar("T")

_NOTHING_LOCAL: Mapping[str, str] = {}


class Pool:
    """A pool of connections to one SQL store.

    | call | gives |
    | --- | --- |
    | `async with pool.begin() as connection` | one transaction: committed at the end, rolled back by an exception |
    | `await pool.run(function)` | the same with `function(connection)`, run again after a deadlock |
    | `async with pool.autocommit() as connection` | no transaction: for CREATE DATABASE, DETACH CONCURRENTLY |
    | `async with pool.copy(connection, "COPY …") as copy` | psycopg's copy, within the connection's transaction |

    Sessions run in UTC, so times come back as aware UTC datetimes. Failures are storekeeper's errors. It belongs to the
    process and the event loop that opened it.
    """

    def __init__(
        self,
        url: str,
        *,
        pool: SqlPool,
        connect_timeout: float,
        transaction_timeout: float | None,
        slow_query: float,
        prepared: bool,
        store: str,
        clock: Clock,
        catalog: Catalog | None = None,
    ) -> None:
        """Opens nothing. Times are in seconds; `store` is the name in errors and reports. The catalogue says which
        columns are personal, for the access log, and words the rules that are broken. Raises SettingsError."""
        self.store = store
        self._rules = Rules(catalog) if catalog is not None else None
        self.settings = pool_parameters(url, pool)
        self._url = url
        self._connect_timeout = connect_timeout
        self._transaction_timeout = transaction_timeout
        self._origin: Origin | None = None
        self._closing = False
        parsed = sqlalchemy_url(url)
        defaults = {"connect_timeout": ceil(connect_timeout), "fallback_application_name": "storekeeper"}
        self.engine: Engine = create_engine(
            parsed,
            poolclass=FairPool,
            pool_size=self.settings.size,
            max_overflow=self.settings.overflow,
            pool_timeout=self.settings.wait,
            pool_recycle=ceil(self.settings.recycle),
            hide_parameters=True,
            connect_args={
                **{name: value for name, value in defaults.items() if name not in parsed.query},
                # the listeners say BEGIN themselves, so that it and every SET LOCAL are one message
                "autocommit": True,
                "prepare_threshold": 5 if prepared else None,
            },
        )
        self._watch = Watch(
            store=store,
            clock=clock,
            terms=Terms(transaction_timeout),
            idle_check=self.settings.idle_check,
            slow_query=slow_query,
            holders=Holders(store),
        )
        listen(self.engine, self._watch)
        if catalog is not None:
            listen_access(self.engine, personal_columns(catalog))

    def open(self) -> None:
        """Opens the first connections. Raises UnavailableError, AuthenticationError, DatabaseMissingError,
        WrongServerError or SettingsError."""
        if self._origin is not None:
            return
        self._origin = here()
        first = max(1, min(self.settings.min, self.settings.size))
        terms = Terms(None)
        try:
            with ExitStack() as stack:
                for _ in range(first):
                    stack.enter_context(self._borrowed(terms, "connect", self._shown, "open()"))
        except BaseException:
            self._origin = None
            self.engine.dispose()
            raise

    def close(self, deadline: float) -> None:
        """Waits up to `deadline` seconds for borrowed connections to come back, then cuts those that have not."""
        if self._origin is None:
            return
        if here().process != self._origin.process:
            # the connections are the parent's: a farewell sent from here would end its sessions
            self.engine.dispose(close=False)
            return
        self._closing = True
        try:
            self._drained(deadline)
            held = self._watch.holders.now()
            for holder in held:
                _cut(holder.driver)
            if held:
                self._drained(1.0)
        finally:
            self._watch.closed = True
            self._origin = None
            self.engine.dispose()

    @property
    def server_version(self) -> int:
        """The server's version as a number: 180006 is 18.6. Known once the pool is open."""
        return self._watch.server_version

    @property
    def slow_queries(self) -> tuple[SlowQuery, ...]:
        """The slow queries reported last, oldest first."""
        return tuple(self._watch.slow_queries)

    def begin(
        self,
        *,
        timeout: float | Default | None = DEFAULT,
        operation: str = "",
        target: str = "",
        local: Mapping[str, str] = _NOTHING_LOCAL,
        isolation: Isolation | None = None,
        first: str = "",
    ) -> AbstractContextManager[Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception; never run again.

        It is cut off after `timeout` seconds (the pool's own by default, None for never). `local` are server settings
        that hold for this transaction, such as {"lock_timeout": "2s", "app.current_user_id": "…"}. `first` is SQL that
        is sent with its BEGIN, and whose answer nobody reads.
        """
        terms = Terms(self._seconds(timeout), isolation, local, first=first)
        return self._transaction(terms, operation, target, caller())

    def autocommit(
        self, *, operation: str = "", target: str = "", local: Mapping[str, str] = _NOTHING_LOCAL
    ) -> AbstractContextManager[Connection]:
        """A connection on which each statement commits by itself.

        Settings, session locks and LISTEN last until the block ends. It needs a session: no transaction-mode pooler.
        """
        return self._transaction(Terms(None, local=local, autocommit=True), operation, target, caller())

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
        """What `function(connection)` returns, in a transaction of its own, committed.

        After a deadlock or a serialization failure the whole function runs again, up to `retries` times, about a second
        apart: it should have no effects but those on the connection. `repeatable` says that it may be done twice, since
        what it writes carries an idempotency key: then it runs again after a lost connection too, where nobody knows
        whether the commit was the last that the server heard.
        """
        terms = Terms(self._seconds(timeout), isolation, local)
        place = caller()
        for left in range(retries, -1, -1):
            try:
                with self._transaction(terms, operation, target, place) as connection:
                    return function(connection)
            except ConflictError as error:
                if not left or sqlstate_of(error) not in RETRIED:
                    raise
            except UnavailableError:
                if not left or not repeatable:
                    raise
            with self._watch.counters.lock:
                self._watch.counters.retries += 1
            time.sleep(random.uniform(0.5, 1.5))
        raise AssertionError("a loop that ends by return or raise has ended")

    @contextmanager
    def copy(
        self,
        connection: Connection,
        statement: str,
        parameters: Mapping[str, object] | None = None,
        *,
        operation: str = "",
        target: str = "",
    ) -> Iterator[psycopg.Copy]:
        """A COPY … FROM STDIN or TO STDOUT on this connection, counted among its statements.

        COPY takes no parameters: those of a query within it (`%(name)s`, `%%` for %) are quoted into the text by the
        driver. Counted is the text without them.
        """
        raw = connection.connection
        driver = raw.driver_connection
        assert driver is not None
        started = monotonic()
        with self.naming(operation, target):
            with driver.cursor() if parameters is None else psycopg.ClientCursor(driver) as cursor:
                with cursor.copy(statement, parameters) as copy:
                    yield copy
                rows = cursor.rowcount
        self._watch.statements.add(statement, monotonic() - started, rows)

    def naming(self, operation: str, target: str) -> AbstractContextManager[None]:
        """What fails within it fails by an error of this package that names these two, at once: a transaction does
        so at its end."""
        return translated(operation, target, rules=self._rules, store=self.store)

    def health(self) -> Health:
        """How the store is: never raises what the store fails by, but says it."""
        started = monotonic()
        try:
            with self.begin(timeout=self._connect_timeout, operation="ask for its health") as connection:
                version = str((connection.execute(sa.text("SHOW server_version"))).scalar_one())
        except StoreError as error:
            return Health(self.store, False, "", str(error), monotonic() - started)
        used = f"{self._pool.checkedout()} of {self._most} connections in use"
        return Health(self.store, True, f"PostgreSQL {version}", used, monotonic() - started)

    def statistics(self) -> PoolStatistics:
        """The pool as it is now, and what it has counted."""
        self._watch.holders.report_overdue()
        pool, counters = self._pool, self._watch.counters
        return PoolStatistics(
            size=self.settings.size,
            most=self._most,
            idle=pool.checkedin(),
            checked_out=pool.checkedout(),
            overflow=max(0, pool.overflow()),
            opened=counters.opened,
            borrowed=counters.borrowed,
            waits=counters.waits,
            wait_seconds=counters.wait_seconds,
            timeouts=counters.timeouts,
            retries=counters.retries,
            slow=counters.slow,
            statements=self._watch.statements.snapshot(),
        )

    @contextmanager
    def _transaction(self, terms: Terms, operation: str, target: str, place: str) -> Iterator[Connection]:
        with self._borrowed(terms, operation, target or self.store, place) as connection:
            with self.naming(operation, target):
                connection.begin()
                try:
                    yield connection
                    connection.commit()
                except BaseException:
                    _roll_back(connection)
                    raise

    @contextmanager
    def _borrowed(self, terms: Terms, operation: str, target: str, place: str) -> Iterator[Connection]:
        self._check_usable(operation, target)
        self._watch.holders.report_overdue()
        with ExitStack() as stack:
            full = self._full
            started = monotonic()
            try:
                connection = stack.enter_context(self.engine.connect())
            except sqlalchemy.exc.TimeoutError as error:
                raise self._exhausted(operation, target) from error
            except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
                raise refused(
                    error, self._url, self._connect_timeout, store=self.store, operation=operation, target=target
                ) from error
            finally:
                self._watch.counters.count_borrowed(waited=monotonic() - started if full else None)
            connection.info[TERMS] = terms
            holder: Holder = connection.info[HOLDER]
            holder.place, holder.limit = place, terms.timeout
            yield connection

    def _exhausted(self, operation: str, target: str) -> PoolTimeoutError:
        with self._watch.counters.lock:
            self._watch.counters.timeouts += 1
        held = self._watch.holders.now()
        cause = f"no connection became free within {self.settings.wait:g} s; {len(held)} of {self._most} are held"
        if held:
            cause += f", the longest for {monotonic() - held[0].since:.1f} s by {held[0].place}"
        return PoolTimeoutError(cause, operation=operation, target=target, hint=POOL_HINT)

    def _check_usable(self, operation: str, target: str) -> None:
        if self._closing:
            raise StoreError("the pool is closed", operation=operation, target=target)
        if self._origin is None:
            raise StoreError("the pool is not open", operation=operation, target=target, hint="open() it first")
        self._origin.check(here(), operation=operation, target=target)

    def _drained(self, seconds: float) -> None:
        """Waits for borrowed connections to come back, but not longer than this."""
        until = monotonic() + seconds
        while self._watch.holders.now() and monotonic() < until:
            time.sleep(0.01)

    def _seconds(self, timeout: float | Default | None) -> float | None:
        return self._transaction_timeout if isinstance(timeout, Default) else timeout

    @property
    def _pool(self) -> FairPool:
        pool = self.engine.pool
        assert isinstance(pool, FairPool)
        return pool

    @property
    def _most(self) -> int:
        return self.settings.size + self.settings.overflow

    @property
    def _full(self) -> bool:
        return self._pool.checkedout() >= self._most

    @property
    def _shown(self) -> str:
        return f"{self.store} at {without_password(self._url)}"


def _roll_back(connection: Connection) -> None:
    """Ends the transaction: by ROLLBACK, else with its connection. What made it end is not hidden by how it ends."""
    try:
        connection.rollback()
    except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
        connection.invalidate(error)


def _cut(driver: psycopg.Connection[Any]) -> None:
    """Ends what a connection is doing: its statement by a cancel request, its session by closing the socket.

    The socket is shut down, not closed, as its owner may be waiting on it. Best effort: a connection that is gone
    already needs no cutting.
    """
    with suppress(psycopg.Error, OSError):
        driver.cancel_safe(timeout=1.0)
    with suppress(psycopg.Error, OSError), socket.socket(fileno=dup(driver.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
