"""Failures of MongoDB and its driver, by class and error code, as storekeeper's own errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from storekeeper.errors import (
    AuthenticationError,
    CheckError,
    ConflictError,
    ConstraintError,
    DiskFullError,
    InputError,
    NotMigratedError,
    NotSupportedError,
    PermissionDeniedError,
    PoolTimeoutError,
    StatementTimeoutError,
    StoreError,
    StorekeeperError,
    UnavailableError,
    UniqueError,
    WrongServerError,
)

#: How many refused documents an error's text tells of; the error's `rows` has all.
_TOLD = 5

_CREDENTIALS = "check user and password of the store's URL, and its authSource"
_DUPLICATE_KEY = (11000, 11001, 12582)
_VALIDATION = 121
_UNAUTHORIZED = 13
_BY_CODE: Mapping[int, tuple[type[StorekeeperError], str]] = {
    18: (AuthenticationError, _CREDENTIALS),
    8000: (AuthenticationError, _CREDENTIALS),
    _UNAUTHORIZED: (PermissionDeniedError, ""),
    26: (NotMigratedError, "storekeeper migrate makes it"),
    27: (NotMigratedError, "storekeeper migrate makes it"),
    50: (StatementTimeoutError, "narrow the time range"),
    262: (StatementTimeoutError, "narrow the time range"),
    24: (ConflictError, ""),
    46: (ConflictError, ""),
    112: (ConflictError, ""),
    251: (ConflictError, ""),
    10334: (InputError, "a document holds 16 MB at most"),
    17280: (InputError, "an indexed value holds 1 KB at most"),
    17419: (InputError, "a document holds 16 MB at most"),
    14031: (DiskFullError, "free or add disk space on the server"),
    59: (NotSupportedError, ""),
    115: (NotSupportedError, ""),
    238: (NotSupportedError, ""),
    # going down, stepping down, or too few members that would acknowledge
    **dict.fromkeys(
        (6, 7, 64, 79, 89, 91, 100, 133, 189, 9001, 10107, 11600, 11602, 13435, 13436),
        (UnavailableError, "is the replica set healthy?"),
    ),
}


def translate(error: BaseException, *, operation: str, target: str = "") -> StorekeeperError:
    """The error of storekeeper for an error of the driver or of BSON. No value of a refused document is quoted."""
    if isinstance(error, BulkWriteError):
        return _of_bulk(error, operation, target)
    if isinstance(error, WaitQueueTimeoutError):
        return PoolTimeoutError(operation=operation, target=target, hint="raise pool_size, or hold connections shorter")
    if isinstance(error, ServerSelectionTimeoutError):
        return UnavailableError(
            _first_sentence(error),
            operation=operation,
            target=target,
            hint="does the server run, and is the URL right?",
        )
    if isinstance(error, WriteConcernError):
        return UnavailableError(
            "written, but not acknowledged by a majority in time", operation=operation, target=target
        )
    if isinstance(error, OperationFailure) and error.code is not None:
        return _of_code(error.code, error.details or {}, operation, target)
    if isinstance(error, PyMongoError) and error.timeout:
        return StatementTimeoutError(operation=operation, target=target, hint="narrow the time range")
    if isinstance(error, (AutoReconnect, ConnectionFailure)):
        return UnavailableError(_first_sentence(error), operation=operation, target=target)
    if isinstance(error, (BSONError, DocumentTooLarge, OverflowError)):
        return InputError(str(error), operation=operation, target=target)
    if isinstance(error, ConfigurationError):
        return WrongServerError(str(error), operation=operation, target=target)
    return StoreError(str(error), operation=operation, target=target)


@contextmanager
def translated(operation: str, target: str = "") -> Iterator[None]:
    """Raises the translation of what the driver raises within the block, `from` the original."""
    try:
        yield
    except (PyMongoError, BSONError, OverflowError) as error:
        raise translate(error, operation=operation, target=target) from error


def only_known_ids(error: BulkWriteError) -> int | None:
    """How many documents were refused because their `_id` is there, if that is all that is wrong; else None."""
    details: Mapping[str, Any] = error.details or {}
    failures: Sequence[Mapping[str, Any]] = details.get("writeErrors", ())
    if not failures or details.get("writeConcernErrors"):
        return None
    known = all(
        failure["code"] in _DUPLICATE_KEY and list(failure.get("keyPattern", ())) == ["_id"] for failure in failures
    )
    return len(failures) if known else None


def _of_code(code: int, details: Mapping[str, Any], operation: str, target: str) -> StorekeeperError:
    if code in _DUPLICATE_KEY or code == _VALIDATION:
        kind, reason, constraint, column = _refusal(code, details)
        return kind(reason, operation=operation, target=target, constraint=constraint, column=column)
    kind_, hint = _BY_CODE.get(code, (StoreError, ""))
    cause = f"{details.get('errmsg', 'failed')} (code {code})"
    return kind_(cause, operation=operation, target=target, hint=hint)


def _of_bulk(error: BulkWriteError, operation: str, target: str) -> StorekeeperError:
    details: Mapping[str, Any] = error.details or {}
    failures: Sequence[Mapping[str, Any]] = details.get("writeErrors", ())
    if not failures:
        return UnavailableError(
            "written, but not acknowledged by a majority in time", operation=operation, target=target
        )
    codes = {failure["code"] for failure in failures}
    if not codes <= {*_DUPLICATE_KEY, _VALIDATION}:
        worst = next(f for f in failures if f["code"] not in (*_DUPLICATE_KEY, _VALIDATION))
        return _of_code(worst["code"], worst, operation, target)
    refusals = {failure["index"]: _refusal(failure["code"], failure) for failure in failures}
    kinds = {refusal[0] for refusal in refusals.values()}
    first = refusals[min(refusals)]
    told = "; ".join(f"{index}: {refusals[index][1]}" for index in sorted(refusals)[:_TOLD])
    more = "" if len(refusals) <= _TOLD else f"; and {len(refusals) - _TOLD} more"
    return (kinds.pop() if len(kinds) == 1 else ConstraintError)(
        f"{len(refusals)} documents refused, {details.get('nInserted', 0)} written: {told}{more}",
        operation=operation,
        target=target,
        hint="the others are written; insert the refused ones again once they are put right",
        constraint=first[2],
        column=first[3],
        rows={index: refusal[1] for index, refusal in refusals.items()},
    )


def _refusal(code: int, details: Mapping[str, Any]) -> tuple[type[ConstraintError], str, str, str]:
    """The class, the reason, and the names of constraint and field of one refused document."""
    if code == _VALIDATION:
        unmet = [
            part
            for rule in details.get("errInfo", {}).get("details", {}).get("schemaRulesNotSatisfied", ())
            for part in _unmet(rule)
        ]
        reason = "; ".join(f"{field}: {why}" for field, why in unmet) or "breaks the validator of its collection"
        return CheckError, reason, "$jsonSchema", unmet[0][0] if unmet else ""
    fields = ", ".join(details.get("keyPattern", {}))
    return UniqueError, f"a document with this {fields or 'key'} exists already", fields, fields


def _unmet(rule: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it) of one unmet rule of a $jsonSchema, which nests as the document does."""
    prefix = f"{path}." if path else ""
    named = [(name, "is missing") for name in rule.get("missingProperties", ())]
    named += [(name, "is unknown") for name in rule.get("additionalProperties", ()) if isinstance(name, str)]
    yield from ((f"{prefix}{name}", why) for name, why in named)
    for unmet in rule.get("propertiesNotSatisfied", ()):
        for inner in unmet.get("details", ()):
            yield from _unmet(inner, f"{prefix}{unmet.get('propertyName', '?')}")
    if not named and "propertiesNotSatisfied" not in rule:
        yield path or "document", str(rule.get("reason") or f"breaks {rule.get('operatorName', 'a rule')}")


def _first_sentence(error: PyMongoError) -> str:
    """The driver's text without its time-outs and its description of the topology."""
    return str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
