# Generated from refused_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Why no connection could be opened: what the driver says, and what it leaves out, asked of the server itself."""

from __future__ import annotations

from typing import Final

import psycopg
import sqlalchemy.exc
from psycopg.waiting import wait_conn

from storekeeper.errors import AuthenticationError, SettingsError, StorekeeperError, UnavailableError
from storekeeper.settings import without_password
from storekeeper.stores.sql.failures import of_code, translate
from storekeeper.stores.sql.refusal import refusal
from storekeeper.stores.sql.urls import psycopg_dsn

_NOT_REACHED: Final = (
    "start the server (`storekeeper up` starts an embedded one), or check host and port of the store's URL"
)
_NO_ANSWER: Final = (
    "check that host and port of the store's URL are those of a PostgreSQL server, and that it is not overloaded"
)


def refused(
    error: BaseException, url: str, connect_timeout: float, *, store: str, operation: str, target: str
) -> StorekeeperError:
    """The error to raise for one of the driver's.

    `operation` and `target` are what the connection was wanted for, where it was not the connecting that failed.
    """
    shown = f"{store} at {without_password(url)}"
    origin = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    if not isinstance(origin, psycopg.OperationalError) or origin.sqlstate:
        if isinstance(origin, psycopg.ProgrammingError) and not origin.sqlstate:
            return SettingsError(_one_line(origin), operation="connect", target=shown)
        return translate(error, operation=operation, target=target)
    if isinstance(origin, psycopg.errors.ConnectionTimeout):
        cause = f"no PostgreSQL server answered within {connect_timeout:g} s"
        return UnavailableError(cause, operation="connect", target=shown, hint=_NO_ANSWER)
    if origin.pgconn is None:  # the name of the host was not even resolved
        return UnavailableError(_one_line(origin), operation="connect", target=shown, hint=_NOT_REACHED)
    asked = wait_conn(refusal(psycopg_dsn(url), connect_timeout), interval=0.1)
    if asked.sqlstate is not None:
        return of_code(asked.sqlstate, _one_line(origin), operation="connect", target=shown)
    if asked.needs_password:
        cause, hint = "the server asks for a password, and none is given", "put it into the URL, or into the settings"
        return AuthenticationError(cause, operation="connect", target=shown, hint=hint)
    hint = _NO_ANSWER if asked.reached else _NOT_REACHED
    return UnavailableError(_one_line(origin), operation="connect", target=shown, hint=hint)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
