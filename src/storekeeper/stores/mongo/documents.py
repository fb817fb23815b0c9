"""Documents as they are stored: from models and mappings, checked before anything is sent; and filters for reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from enum import Enum
from typing import Any

import bson
from bson.errors import BSONError
from pydantic import BaseModel, ValidationError

from storekeeper.catalog import documents
from storekeeper.clock import as_utc
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, ValueFitError
from storekeeper.stores.mongo.client import CODEC

#: How many bad documents an error tells of.
_TOLD = 5


def to_documents(
    given: Iterable[BaseModel | Mapping[str, Any]], model: type[BaseModel], *, target: str
) -> list[dict[str, Any]]:
    """Every document as it is stored: fields by alias, absent where None, times in UTC (MongoDB keeps milliseconds).

    A mapping is validated by the model first. One bad document refuses all: NaiveTimeError, ColumnError (a field is
    missing or unknown), ValueFitError, or InputError where the reasons are mixed, with the index and reason of each.
    """
    stored = []
    bad: list[tuple[int, str, str, type[InputError]]] = []
    for index, item in enumerate(given):
        try:
            stored.append(to_document(item, model))
        except ValidationError as error:
            bad.extend(
                (index, ".".join(map(str, problem["loc"])), problem["msg"], _kind(problem["type"]))
                for problem in error.errors(include_input=False, include_url=False, include_context=False)
            )
        except InputError as error:
            bad.append((index, getattr(error, "column", ""), error.cause, type(error)))
    if not bad:
        return stored
    told = "; ".join(f"{index}: {field}: {why}" if field else f"{index}: {why}" for index, field, why, _ in bad[:_TOLD])
    more = f"; and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
    kinds = {kind for *_, kind in bad}
    kind = kinds.pop() if len(kinds) == 1 else InputError
    cause = f"nothing is written: {told}{more}"
    if issubclass(kind, ValueFitError):
        raise kind(cause, operation="insert into", target=target, row=bad[0][0], column=bad[0][1])
    raise kind(cause, operation="insert into", target=target)


def to_document(item: BaseModel | Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """One document as it is stored. Raises pydantic's ValidationError, InputError, NaiveTimeError."""
    if isinstance(item, BaseModel):
        if not isinstance(item, model):
            raise InputError(f"is a {type(item).__name__}, not a {model.__name__}")
        checked = item
    else:
        checked = model.model_validate(item)
    dumped = checked.model_dump(by_alias=True, exclude_none=True)
    return {name: _stored(value, name) for name, value in dumped.items()}


def encoded_size(stored: Mapping[str, Any]) -> int:
    """Bytes of a document as BSON. Raises InputError where BSON has no place for one of its values."""
    try:
        return len(bson.encode(stored, codec_options=CODEC))
    except UnicodeEncodeError as error:
        raise InputError("has a text that is no Unicode: half of a surrogate pair") from error
    except OverflowError as error:
        raise InputError("has an integer of more than 64 bits") from error
    except RecursionError as error:
        raise InputError("nests too deep") from error
    except (BSONError, ValueError) as error:
        raise InputError(str(error)) from error


def to_filter(
    collection: documents.Collection, start: datetime, end: datetime, where: Mapping[str, Any], *, target: str
) -> dict[str, Any]:
    """The filter for documents with start <= time < end whose fields equal the values of `where`, or are among them
    where a sequence is given. Fields may be dotted. Raises InputError, also for operators of MongoDB among the values.
    """
    lower, upper = as_utc(start), as_utc(end)
    if lower >= upper:
        raise InputError(
            f"the range is empty: {lower.isoformat()} to {upper.isoformat()}", operation="read", target=target
        )
    wanted: dict[str, Any] = {}
    for field, value in where.items():
        if field.startswith("$") or isinstance(value, Mapping):
            raise InputError(
                f"{field}: only values and sequences of values can be asked for",
                operation="read",
                target=target,
                hint="use collection() for queries of MongoDB's own language",
            )
        several = isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (str, bytes))
        wanted[field] = {"$in": _stored(list(value), field)} if several else _stored(value, field)
    if collection.time in wanted:
        raise InputError(f"{collection.time} is what the range is of", operation="read", target=target)
    return {**wanted, collection.time: {"$gte": lower, "$lt": upper}}


def _stored(value: Any, field: str) -> Any:
    """What BSON has for a value; BSON itself would take a naive time for UTC."""
    match value:
        case datetime():
            if value.tzinfo is None:
                raise NaiveTimeError(f"{field}: {value.isoformat()} has no time zone")
            return as_utc(value)
        case date():
            return datetime.combine(value, time(), UTC)
        case Enum():
            return value.value
        case Mapping():
            return {str(name): _stored(inner, f"{field}.{name}") for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_stored(inner, field) for inner in value]
        case _:
            return value


def _kind(problem: str) -> type[InputError]:
    match problem:
        case "timezone_aware":
            return NaiveTimeError
        case "missing" | "extra_forbidden":
            return ColumnError
        case _:
            return ValueFitError
