"""Failures of PostgreSQL as storekeeper's errors: by SQLSTATE, never by the text of a message."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
import sqlalchemy.exc

from storekeeper.errors import (
    AuthenticationError,
    BelowWatermarkError,
    CheckError,
    ConflictError,
    ConstraintError,
    DatabaseMissingError,
    DiskFullError,
    ForeignKeyError,
    InputError,
    KeptRowsError,
    NotMigratedError,
    NotNullError,
    NotSupportedError,
    PermissionDeniedError,
    PoolTimeoutError,
    StatementTimeoutError,
    StoreError,
    StorekeeperError,
    UnavailableError,
    UniqueError,
    ValueFitError,
    WrongServerError,
)
from storekeeper.stores.sql.rules import Broken, Rules

#: Of these a later attempt of the whole transaction may well succeed: serialization failure, deadlock.
RETRIED: Final = frozenset({"40001", "40P01"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a SQLSTATE, or a class of them, stands for."""

    error: type[StorekeeperError]
    hint: str = ""


_MIGRATE = "run `storekeeper migrate`, or check the name"
_LATER = "try again later; `storekeeper status` shows whether the server is up"
_CUT = "make it shorter, or give the transaction a longer timeout"

#: The longest prefix of the SQLSTATE that is listed wins: the code itself, else its class of two characters.
MEANINGS: Final[dict[str, Meaning]] = {
    "SK001": Meaning(BelowWatermarkError, "rows this old have been dropped by retention: restore a backup to see them"),
    "SK003": Meaning(KeptRowsError),  # the hint is the trigger's: it knows how long
    "08": Meaning(UnavailableError, _LATER),
    "0A": Meaning(NotSupportedError),
    "22": Meaning(InputError),
    "22001": Meaning(ValueFitError),  # string too long
    "22003": Meaning(ValueFitError),  # number out of range
    "22007": Meaning(ValueFitError),  # not a date or time
    "22008": Meaning(ValueFitError),  # date or time out of range
    "22015": Meaning(ValueFitError),  # interval out of range
    "22021": Meaning(ValueFitError),  # byte sequence that is no text, NUL included
    "22P02": Meaning(ValueFitError),  # not the text of this type
    "22P03": Meaning(ValueFitError),  # not the binary form of this type
    "22P05": Meaning(ValueFitError),  # character that the encoding lacks
    "22032": Meaning(ValueFitError),  # not JSON
    "23": Meaning(ConstraintError),
    "23001": Meaning(ForeignKeyError),
    "23502": Meaning(NotNullError),
    "23503": Meaning(ForeignKeyError),
    "23505": Meaning(UniqueError),
    "23514": Meaning(CheckError),
    "44": Meaning(CheckError),
    "25006": Meaning(StoreError, "the transaction is read only: a standby server, or a role that only reads"),
    "25P02": Meaning(StoreError, "an earlier statement of this transaction failed: roll back, then begin anew"),
    "25P03": Meaning(StatementTimeoutError, "the transaction was left idle: do the slow work outside of it"),
    "25P04": Meaning(StatementTimeoutError, _CUT),
    "28": Meaning(AuthenticationError, "check user and password of the store's URL, and pg_hba.conf of the server"),
    "3D000": Meaning(DatabaseMissingError, "run `storekeeper migrate --create`, or check the database's name"),
    "3F000": Meaning(NotMigratedError, _MIGRATE),
    "40": Meaning(StoreError),
    "40001": Meaning(ConflictError, "try the whole transaction again: `run(function)` does"),
    "40002": Meaning(ConstraintError),
    "40P01": Meaning(ConflictError, "try the whole transaction again: `run(function)` does"),
    "42501": Meaning(PermissionDeniedError, "use the URL of a role that may, or grant it"),
    "42703": Meaning(NotMigratedError, _MIGRATE),  # column
    "42704": Meaning(NotMigratedError, _MIGRATE),  # type, and other objects
    "42883": Meaning(NotMigratedError, _MIGRATE),  # function
    "42P01": Meaning(NotMigratedError, _MIGRATE),  # table
    "53100": Meaning(DiskFullError, "make room on the server's disk"),
    "53300": Meaning(UnavailableError, "raise the server's max_connections, or lower pool_size and pool_overflow"),
    "55006": Meaning(ConflictError, "another session uses it: try again later"),
    "55P03": Meaning(ConflictError, "another session holds the lock: try again later"),
    "57014": Meaning(StatementTimeoutError, _CUT),
    "57P01": Meaning(UnavailableError, _LATER),
    "57P02": Meaning(UnavailableError, _LATER),
    "57P03": Meaning(UnavailableError, _LATER),
    "57P04": Meaning(DatabaseMissingError, "run `storekeeper migrate --create`, or check the database's name"),
    "57P05": Meaning(UnavailableError, _LATER),
}
_UNLISTED: Final = Meaning(StoreError)


def meaning(sqlstate: str) -> Meaning:
    """What a SQLSTATE stands for."""
    return MEANINGS.get(sqlstate) or MEANINGS.get(sqlstate[:2]) or _UNLISTED


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE that this error, or what it was raised from, carries."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, sqlalchemy.exc.DBAPIError):
            seen = seen.orig
        elif isinstance(seen, psycopg.Error):
            return seen.sqlstate
        else:
            seen = seen.__cause__
    return None


def server_detail(error: BaseException) -> str:
    """The server's detail line, of this error or of what it was raised from: it may hold values of the row."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, sqlalchemy.exc.DBAPIError):
            seen = seen.orig
        elif isinstance(seen, psycopg.Error):
            return (seen.diag.message_detail or "").rstrip(".")
        else:
            seen = seen.__cause__
    return ""


def translate(
    error: BaseException, *, operation: str, target: str = "", rules: Rules | None = None, store: str = ""
) -> StorekeeperError:
    """The storekeeper error for a failure of psycopg or SQLAlchemy; one that is already storekeeper's comes back as is.

    The cause is the server's primary message: its detail line holds values, and stays in the error raised from. Of a
    broken constraint that `rules` know, it is what the rule demands of which fields; the target, unless the caller
    named one, is the entity. Otherwise the store stands for a target that was not named.
    """
    if isinstance(error, StorekeeperError):
        return error
    named = target or store
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return PoolTimeoutError(operation=operation, target=named, hint=POOL_HINT)
    if isinstance(error, sqlalchemy.exc.StatementError) and not isinstance(error, sqlalchemy.exc.DBAPIError):
        return _never_sent(error.orig, operation, named)
    origin = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    if not isinstance(origin, psycopg.Error):
        return StoreError(str(origin) or type(origin).__name__, operation=operation, target=named)
    if not origin.sqlstate:
        return _without_code(origin, operation, named)
    if rules is not None and origin.sqlstate.startswith("23"):
        statement = error.statement if isinstance(error, sqlalchemy.exc.DBAPIError) else None
        found = _broken(origin, rules, statement or "")
        if found is not None:
            return _constraint(origin, found, operation, target)
    return of_code(
        origin.sqlstate,
        origin.diag.message_primary or "",
        operation=operation,
        target=named or _table(origin),
        hint=origin.diag.message_hint or "",
        constraint=origin.diag.constraint_name or "",
        column=origin.diag.column_name or "",
    )


#: What to do when no connection became free.
POOL_HINT: Final = "raise pool_size or pool_overflow, or hold connections for a shorter time"


def of_code(
    sqlstate: str,
    cause: str,
    *,
    operation: str,
    target: str = "",
    hint: str = "",
    constraint: str = "",
    column: str = "",
) -> StorekeeperError:
    """The storekeeper error for a SQLSTATE."""
    what = meaning(sqlstate)
    hint = what.hint or hint
    if issubclass(what.error, ConstraintError):
        return what.error(cause, operation=operation, target=target, hint=hint, constraint=constraint, column=column)
    if issubclass(what.error, ValueFitError):
        return what.error(cause, operation=operation, target=target, hint=hint, column=column)
    return what.error(cause, operation=operation, target=target, hint=hint)


@contextmanager
def translated(operation: str, target: str = "", *, rules: Rules | None = None, store: str = "") -> Iterator[None]:
    """Failures of psycopg and SQLAlchemy leave the block as storekeeper's errors, raised from the original."""
    try:
        yield
    except (psycopg.Error, sqlalchemy.exc.StatementError, sqlalchemy.exc.TimeoutError) as error:
        raise translate(error, operation=operation, target=target, rules=rules, store=store) from error


def _never_sent(origin: BaseException | None, operation: str, target: str) -> StorekeeperError:
    """Why a statement failed on its way to the server: a value that its column's type does not take, as a rule.

    Of what is not storekeeper's own the text is left out: it may hold the value.
    """
    if isinstance(origin, StorekeeperError):
        # another object: this one is among the causes of what it becomes the cause of
        return copy.copy(origin)
    if isinstance(origin, sqlalchemy.exc.SQLAlchemyError) or origin is None:
        return StoreError(str(origin), operation=operation, target=target)
    return ValueFitError(
        f"a value does not fit the type of its column ({type(origin).__name__})", operation=operation, target=target
    )


def _broken(error: psycopg.Error, rules: Rules, statement: str) -> Broken | None:
    diag = error.diag
    return rules.broken(
        schema=diag.schema_name or "",
        table=diag.table_name or "",
        constraint=diag.constraint_name or "",
        column=diag.column_name or "",
        sqlstate=error.sqlstate or "",
        statement=statement,
    )


def _constraint(error: psycopg.Error, broken: Broken, operation: str, target: str) -> StorekeeperError:
    what = meaning(error.sqlstate or "")
    kind = what.error if issubclass(what.error, ConstraintError) else ConstraintError
    target = target or broken.entity
    return kind(
        broken.rule if target == broken.entity else f"{broken.entity}: {broken.rule}",
        operation=operation,
        target=target,
        hint=what.hint or error.diag.message_hint or "",
        constraint=error.diag.constraint_name or "",
        column=error.diag.column_name or "",
        entity=broken.entity,
        fields=broken.fields,
        rule=broken.rule,
    )


def _without_code(error: psycopg.Error, operation: str, target: str) -> StorekeeperError:
    """The server said nothing: the failure is of the way to it, or of the client."""
    cause = str(error).strip()
    if isinstance(error, psycopg.DataError):
        return ValueFitError(cause, operation=operation, target=target)
    if isinstance(error, psycopg.NotSupportedError):
        return WrongServerError(cause, operation=operation, target=target)
    if isinstance(error, psycopg.OperationalError):
        return UnavailableError(cause, operation=operation, target=target, hint=_LATER)
    return StoreError(cause, operation=operation, target=target)


def _table(error: psycopg.Error) -> str:
    schema, table = error.diag.schema_name, error.diag.table_name
    return f"{schema}.{table}" if schema and table else table or ""
