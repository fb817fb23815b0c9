"""Failures of Redis and its driver, by class and by the code that begins an error, as storekeeper's own errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from redis import exceptions

from storekeeper.errors import (
    AuthenticationError,
    ConflictError,
    DiskFullError,
    InputError,
    PermissionDeniedError,
    PoolTimeoutError,
    StatementTimeoutError,
    StoreError,
    StorekeeperError,
    UnavailableError,
    WrongServerError,
)

_REPLICA = "this is a read-only replica: give the URL of the primary"
_CREDENTIALS = "check user and password of the store's URL"
_BUSY = "a script runs for long on the server"

#: The codes for which the driver has no class of its own.
_BY_CODE: Mapping[str, tuple[type[StorekeeperError], str]] = {
    "BUSY": (UnavailableError, _BUSY),
    "CLUSTERDOWN": (UnavailableError, ""),
    "DENIED": (PermissionDeniedError, "the server runs in protected mode: set a password"),
    "LOADING": (UnavailableError, "the server reads its data: wait"),
    "MASTERDOWN": (UnavailableError, ""),
    "MISCONF": (DiskFullError, "the server cannot save to its disk, so it refuses to write: look into its log"),
    "NOAUTH": (AuthenticationError, _CREDENTIALS),
    "NOPERM": (PermissionDeniedError, ""),
    "NOREPLICAS": (UnavailableError, "too few replicas would take the write"),
    "OOM": (DiskFullError, "raise maxmemory, or let keys expire sooner"),
    "READONLY": (UnavailableError, _REPLICA),
    "TRYAGAIN": (ConflictError, ""),
    "WRONGPASS": (AuthenticationError, _CREDENTIALS),
    "WRONGTYPE": (StoreError, "the key was written by another program, or declared otherwise before: delete it"),
}
#: In this order: a class comes before those that it derives from.
_BY_CLASS: tuple[tuple[type[exceptions.RedisError], type[StorekeeperError], str], ...] = (
    (exceptions.AuthenticationError, AuthenticationError, _CREDENTIALS),
    (exceptions.AuthenticationWrongNumberOfArgsError, AuthenticationError, _CREDENTIALS),
    (exceptions.AuthorizationError, PermissionDeniedError, ""),
    (exceptions.NoPermissionError, PermissionDeniedError, ""),
    (exceptions.BusyLoadingError, UnavailableError, "the server reads its data: wait"),
    (exceptions.OutOfMemoryError, DiskFullError, "raise maxmemory, or let keys expire sooner"),
    (exceptions.ReadOnlyError, UnavailableError, _REPLICA),
    (exceptions.TryAgainError, ConflictError, ""),
    (exceptions.ClusterDownError, UnavailableError, ""),
    (exceptions.MasterDownError, UnavailableError, ""),
    (exceptions.InvalidResponse, WrongServerError, "give the URL of a Redis server: redis://HOST:6379/0"),
    (exceptions.MaxConnectionsError, PoolTimeoutError, "raise pool_size, or hold connections shorter"),
    (exceptions.ConnectionError, UnavailableError, "does the server run, and is the URL right?"),
    (exceptions.TimeoutError, StatementTimeoutError, ""),
    (exceptions.DataError, InputError, ""),
)
#: How the driver frames an error of a command in a pipeline: the command, with its values, comes before the reason.
_FRAME = ") of pipeline caused error: "


def unwrapped(error: BaseException) -> BaseException:
    """What lies below an error of connecting: over a unix socket the async driver packs any failure into one."""
    while type(error) is exceptions.ConnectionError and isinstance(error.__cause__, exceptions.RedisError):
        error = error.__cause__
    return error


def translate(error: BaseException, *, operation: str, target: str = "") -> StorekeeperError:
    """The error of storekeeper for an error of the driver. The values of the command are not quoted."""
    error = unwrapped(error)
    reason = _reason(error)
    for kind, own, hint in _BY_CLASS:
        if isinstance(error, kind):
            return own(reason, operation=operation, target=target, hint=hint)
    own, hint = _BY_CODE.get(reason.partition(" ")[0], (StoreError, ""))
    return own(reason, operation=operation, target=target, hint=hint)


@contextmanager
def translated(operation: str, target: str = "") -> Iterator[None]:
    """Raises the translation of what the driver raises within the block, `from` the original."""
    try:
        yield
    except exceptions.RedisError as error:
        raised = translate(error, operation=operation, target=target)
        error.args = (raised.cause,)  # the original is shown below it, and must not quote values either
        raise raised from error


def _reason(error: BaseException) -> str:
    return str(error).rpartition(_FRAME)[2]
