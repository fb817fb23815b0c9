"""Models as hashes: one field a field, each a text that `redis-cli` shows as what it is.

| type of the field | text |
| --- | --- |
| str, bool, int, float, enumeration | as in JSON, without quotes |
| Decimal | plain digits, never an exponent |
| datetime | ISO 8601 in UTC: 2014-06-01T09:30:00Z |
| UUID, date | their standard text |
| whatever holds others (dict, list, model), or may be of any type | JSON |
| None | the field is absent |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from storekeeper.clock import as_utc
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, StoreError, ValueFitError

_SCALARS = ("string", "integer", "number", "boolean", "null")


def to_hash(given: BaseModel | Mapping[str, Any], model: type[BaseModel], *, target: str) -> dict[str, str]:
    """The fields, by alias. Raises InputError; ColumnError, ValueFitError, NaiveTimeError where the model refuses."""
    checked = _checked(given, model, target)
    # None is absent in the one dump as in the other, so the two have the same fields
    plain = checked.model_dump(mode="json", by_alias=True, exclude_none=True)
    exact = checked.model_dump(by_alias=True, exclude_none=True)
    nested = json_fields(model)
    fields = {
        name: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if name in nested
        else _text(exact[name], value, name, target)
        for name, value in plain.items()
    }
    if not fields:
        raise InputError("every field is None: a hash holds one at least", operation="put", target=target)
    return fields


def from_hash(raw: Mapping[bytes, bytes], model: type[BaseModel], *, target: str) -> BaseModel | None:
    """The model of a stored hash; None where there is none. Raises StoreError where the model refuses what is there."""
    if not raw:
        return None
    nested = json_fields(model)
    try:
        fields = {
            name: json.loads(text) if name in nested else text
            for name, text in ((key.decode(), value.decode()) for key, value in raw.items())
        }
        return model.model_validate(fields)
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_input=False)
        )
        raise _foreign(reasons, target) from error
    except ValueError as error:  # neither UTF-8 nor JSON
        raise _foreign("a field is no text, or no JSON where it should be", target) from error


@lru_cache(maxsize=256)
def json_fields(model: type[BaseModel]) -> frozenset[str]:
    """The fields (by alias) that are stored as JSON: all whose type may be other than a scalar."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    definitions = schema.get("$defs", {})
    return frozenset(name for name, part in schema.get("properties", {}).items() if not _is_scalar(part, definitions))


def _is_scalar(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    if "$ref" in schema:
        return _is_scalar(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return all(_is_scalar(part, definitions) for part in schema[name])
    return "enum" in schema or "const" in schema or schema.get("type") in _SCALARS


def _checked(given: BaseModel | Mapping[str, Any], model: type[BaseModel], target: str) -> BaseModel:
    if isinstance(given, BaseModel):
        if not isinstance(given, model):
            raise InputError(f"is a {type(given).__name__}, not a {model.__name__}", operation="put", target=target)
        return given
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        cause = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
        kinds = {problem["type"] for problem in problems}
        if kinds == {"timezone_aware"}:
            raise NaiveTimeError(cause, operation="put", target=target) from error
        if kinds <= {"missing", "extra_forbidden"}:
            raise ColumnError(cause, operation="put", target=target) from error
        column = ".".join(map(str, problems[0]["loc"]))
        raise ValueFitError(cause, operation="put", target=target, column=column) from error


def _text(exact: Any, plain: Any, name: str, target: str) -> str:
    """A scalar's text; `plain` is what JSON has for it."""
    if isinstance(exact, datetime):
        if exact.tzinfo is None:
            raise NaiveTimeError(f"{name}: {exact.isoformat()} has no time zone", operation="put", target=target)
        return as_utc(exact).isoformat().replace("+00:00", "Z")
    if isinstance(exact, Decimal):
        return format(exact, "f")
    return plain if isinstance(plain, str) else json.dumps(plain)


def _foreign(reason: str, target: str) -> StoreError:
    return StoreError(
        f"what is stored is no such model: {reason}",
        operation="get",
        target=target,
        hint="was it written by another program or release? delete it, or wait until it expires",
    )
