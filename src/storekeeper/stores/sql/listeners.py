"""What happens on a pool's connections unasked: checks, BEGIN with its settings, timing, plans of slow queries.

These are SQLAlchemy's events, which are sync for an async engine too: one file serves both twins.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import psycopg
import sqlalchemy as sa
import sqlalchemy.exc
from psycopg.pq import TransactionStatus
from sqlalchemy import event
from sqlalchemy.engine import AdaptedConnection

from storekeeper.clock import Clock
from storekeeper.errors import StatementTimeoutError, StoreError, WrongServerError
from storekeeper.stores.sql import slow
from storekeeper.stores.sql.holders import Holders
from storekeeper.stores.sql.statistics import Counters, StatementTable
from storekeeper.stores.sql.transaction import (
    BULK,
    HAS_TRANSACTION_TIMEOUT,
    SESSION_CLOSING,
    Terms,
    opening,
    session_opening,
)

#: The oldest server that the statements of this package are written for.
OLDEST: Final = 150000
#: Keys in a connection's info: the terms of its transaction, and who holds it.
TERMS: Final = "storekeeper_terms"
HOLDER: Final = "storekeeper_holder"

_LOGGER: Final = logging.getLogger("storekeeper.slow")
_RETURNED, _STARTED, _SLOW, _DEADLINE = (
    "storekeeper_returned",
    "storekeeper_started",
    "storekeeper_slow",
    "storekeeper_deadline",
)
_ROLE_LIMIT: Final = "storekeeper_role_limit_ms"
#: Below this remainder of a transaction's time, in relation to what its statements were told, they are told anew.
_STALE: Final = 0.9


@dataclass(slots=True)
class Watch:
    """What the listeners of one pool share with it."""

    store: str
    clock: Clock
    terms: Terms
    idle_check: float
    slow_query: float
    holders: Holders
    statements: StatementTable = field(default_factory=StatementTable)
    counters: Counters = field(default_factory=Counters)
    slow_queries: deque[slow.SlowQuery] = field(default_factory=lambda: deque(maxlen=100))
    server_version: int = 0
    closed: bool = False


@dataclass(slots=True)
class _Deadline:
    """Of a transaction on a server without transaction_timeout: monotonic moment, and what statements were told."""

    moment: float
    told: float


def listen(engine: sa.Engine, watch: Watch) -> None:
    """Attaches the listeners to an engine and its pool."""

    # before SQLAlchemy's own first look at the server, which an unknown kind of server makes fail obscurely
    @event.listens_for(engine.pool, "connect", insert=True)
    def connected(dbapi_connection: Any, record: Any) -> None:
        version = server_version(dbapi_connection.info, watch.store)
        if version < HAS_TRANSACTION_TIMEOUT:
            record.info[_ROLE_LIMIT] = _role_limit(dbapi_connection)
        watch.server_version = version
        with watch.counters.lock:
            watch.counters.opened += 1

    @event.listens_for(engine.pool, "checkout")
    def checked_out(dbapi_connection: Any, record: Any, fairy: Any) -> None:
        returned = record.info.pop(_RETURNED, None)
        if returned is not None and monotonic() - returned > watch.idle_check and not _answers(dbapi_connection):
            # one dead connection is rarely alone: all that are older than now are replaced at their next use
            raise sqlalchemy.exc.InvalidatePoolError
        record.info[HOLDER] = watch.holders.took(record.driver_connection)

    @event.listens_for(engine.pool, "checkin")
    def checked_in(dbapi_connection: Any, record: Any) -> None:
        if dbapi_connection is not None:
            watch.holders.gave_back(record.driver_connection)
        record.info[_RETURNED] = monotonic()
        if watch.closed:
            record.close()

    @event.listens_for(engine.pool, "invalidate")
    def invalidated(dbapi_connection: Any, record: Any, error: BaseException | None) -> None:
        watch.holders.gave_back(record.driver_connection)

    @event.listens_for(engine.pool, "reset")
    def reset(dbapi_connection: Any, record: Any, state: Any) -> None:
        terms = record.info.pop(TERMS, None)
        record.info.pop(_DEADLINE, None)
        found: list[_Found] = record.info.pop(_SLOW, [])
        if state.asyncio_safe and not dbapi_connection.closed:
            if terms is not None and terms.autocommit:
                send(dbapi_connection, SESSION_CLOSING)
            for query in found:
                _report(watch, query, _plan(dbapi_connection, query, watch.server_version))
        else:
            for query in found:
                _report(watch, query, "the connection is gone")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        terms: Terms = connection.info.get(TERMS, watch.terms)
        dbapi_connection: Any = connection.connection.dbapi_connection
        try:
            if terms.autocommit:
                send(dbapi_connection, session_opening(terms))
                return
            text = opening(terms, watch.server_version, connection.info.get(_ROLE_LIMIT, 0))
            if not dbapi_connection.autocommit:  # somebody chose an isolation level: then the driver says BEGIN
                text = text.partition("; ")[2]
            send(dbapi_connection, text)
        except BaseException as error:
            # SQLAlchemy handles failures of its own BEGIN only; what this connection is in, nobody knows now
            connection.invalidate(error)
            raise
        if terms.timeout is not None and watch.server_version < HAS_TRANSACTION_TIMEOUT:
            connection.info[_DEADLINE] = _Deadline(monotonic() + terms.timeout, terms.timeout)

    @event.listens_for(engine, "commit")
    def commit(connection: sa.Connection) -> None:
        dbapi_connection: Any = connection.connection.dbapi_connection
        try:
            keep_deadline(connection, watch.store)
            if dbapi_connection.info.transaction_status == TransactionStatus.INERROR:
                # the server would answer COMMIT with a rollback that the driver takes for success
                raise StoreError(
                    "nothing was committed: a statement of this transaction failed, and its error was passed over",
                    target=watch.store,
                    hint="let the error end the transaction, or run the statement in a savepoint (begin_nested)",
                )
        except StoreError:
            # for SQLAlchemy the transaction is over by now
            try:
                dbapi_connection.rollback()
            except psycopg.Error as error:
                connection.invalidate(error)
            raise

    @event.listens_for(engine, "before_cursor_execute")
    def before(
        connection: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        keep_deadline(connection, watch.store)
        connection.info[_STARTED] = monotonic()

    @event.listens_for(engine, "after_cursor_execute")
    def after(
        connection: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        seconds = monotonic() - connection.info.pop(_STARTED, monotonic())
        watch.statements.add(statement, seconds, cursor.rowcount)
        if seconds > watch.slow_query and not connection.get_execution_options().get(BULK):
            note_slow(connection, statement, seconds, slow.has_parameters(parameters))

    @event.listens_for(engine, "handle_error")
    def failed(context: Any) -> None:
        connection = context.connection
        if connection is None or context.statement is None or connection.invalidated or connection.closed:
            return
        seconds = monotonic() - connection.info.pop(_STARTED, monotonic())
        watch.statements.add(context.statement, seconds, 0, failed=True)
        if seconds > watch.slow_query and not connection.get_execution_options().get(BULK):
            note_slow(connection, context.statement, seconds, slow.has_parameters(context.parameters))


def send(dbapi_connection: Any, text: str, *, extended: bool = False) -> Any:
    """Sends statements outside of what SQLAlchemy sees, never prepared, and returns the driver's cursor.

    Several statements, parted by semicolons, go as one message unless `extended`.
    """
    if isinstance(dbapi_connection, AdaptedConnection):
        return dbapi_connection.run_async(lambda driver: driver.execute(text, prepare=False, binary=extended))
    return dbapi_connection.execute(text, prepare=False, binary=extended)


def server_version(info: Any, store: str) -> int:
    """The server's version (180006). Raises WrongServerError where it is no PostgreSQL, or one too old."""
    foreign = [name for name in ("crdb_version",) if info.parameter_status(name)]
    version: int = info.server_version
    if foreign:
        raise WrongServerError(
            "the server speaks PostgreSQL's protocol, but is CockroachDB",
            operation="connect",
            target=store,
            hint="give the URL of a PostgreSQL server, 15 or newer",
        )
    if version < OLDEST:
        raise WrongServerError(
            f"the server is version {info.parameter_status('server_version') or 'unknown'}",
            operation="connect",
            target=store,
            hint="PostgreSQL 15 is the oldest that storekeeper works with",
        )
    return version


def keep_deadline(connection: sa.Connection, store: str) -> None:
    """Raises StatementTimeoutError where the transaction has outlived its time on a server that does not watch it."""
    deadline: _Deadline | None = connection.info.get(_DEADLINE)
    if deadline is None:
        return
    left = deadline.moment - monotonic()
    if left <= 0:
        raise StatementTimeoutError(
            "the transaction took longer than it may",
            target=store,
            hint="make it shorter, or give the transaction a longer timeout",
        )
    if left < deadline.told * _STALE:
        # the server counts each statement from its own start: what is left of the transaction has to be told again
        role_limit = connection.info.get(_ROLE_LIMIT, 0)
        milliseconds = max(1, round(left * 1000))
        milliseconds = min(milliseconds, role_limit) if role_limit else milliseconds
        send(connection.connection.dbapi_connection, f"SET LOCAL statement_timeout = '{milliseconds}ms'")
        deadline.told = left


@dataclass(frozen=True, slots=True)
class _Found:
    """A slow query whose plan will be asked for when its transaction is over."""

    statement: str
    seconds: float
    parameters: bool


def note_slow(connection: sa.Connection, statement: str, seconds: float, parameters: bool) -> None:
    """Puts a slow query down for the report, which waits for the end of its transaction: a failing EXPLAIN would
    abort it."""
    connection.info.setdefault(_SLOW, []).append(_Found(statement, seconds, parameters))


def _report(watch: Watch, query: _Found, plan: str) -> None:
    report = slow.SlowQuery(slow.without_values(query.statement), query.seconds, plan, watch.clock.now())
    watch.slow_queries.append(report)
    with watch.counters.lock:
        watch.counters.slow += 1
    _LOGGER.warning("%s: %.3f s: %s\n%s", watch.store, report.seconds, report.statement, report.plan)


def _plan(dbapi_connection: Any, query: _Found, version: int) -> str:
    how = slow.explanation(query.statement, parameters=query.parameters, server_version=version)
    if isinstance(how, str):
        return how
    if dbapi_connection.info.transaction_status != TransactionStatus.IDLE:
        return "the connection is still in a transaction"
    try:
        send(dbapi_connection, f"BEGIN READ ONLY; SET LOCAL statement_timeout = '{slow.EXPLAIN_LIMIT_MS}ms'")
        cursor = send(dbapi_connection, how.statement, extended=how.extended)
        lines = _rows(dbapi_connection, cursor)
        # COMMIT, as nothing was written: at a ROLLBACK the driver forgets its prepared statements
        send(dbapi_connection, "COMMIT")
    except psycopg.Error as error:
        with suppress(psycopg.Error):
            send(dbapi_connection, "ROLLBACK")
        return f"no plan: {error.sqlstate or type(error).__name__}"
    return slow.without_values("\n".join(str(line) for (line,) in lines))


def _rows(dbapi_connection: Any, cursor: Any) -> list[tuple[Any, ...]]:
    adapted = isinstance(dbapi_connection, AdaptedConnection)
    rows: list[tuple[Any, ...]] = (
        dbapi_connection.run_async(lambda _: cursor.fetchall()) if adapted else cursor.fetchall()
    )
    return rows


def _answers(dbapi_connection: Any) -> bool:
    try:
        send(dbapi_connection, "")
    except psycopg.Error:
        return False
    return True


def _role_limit(dbapi_connection: Any) -> int:
    cursor = send(
        dbapi_connection,
        "SELECT setting::integer FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'",
    )
    ((milliseconds,),) = _rows(dbapi_connection, cursor)
    return int(milliseconds)
