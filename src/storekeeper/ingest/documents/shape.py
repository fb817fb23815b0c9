"""Which field of a document comes from what of a record: mapped, constant, or by the same name. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, assert_never, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from storekeeper.errors import ColumnError
from storekeeper.ingest.logs.calendar import Calendar
from storekeeper.ingest.logs.line import LineError
from storekeeper.ingest.logs.stamps import read_stamp
from storekeeper.ingest.mapping import ColumnSource, FromColumn, FromConstant, FromMid, FromTemplate
from storekeeper.stores.mongo.schema import validator

_Kind: TypeAlias = Literal["time", "json", "plain"]


class Shape:
    """Makes documents of one model out of records.

    A dotted name goes into an object: `context.ip` is the field ip of the object context, on both sides. Texts for
    times are read by `time_format` or ISO 8601, a time without an offset is one in `zone`; texts for objects and lists
    are read as JSON, but for those within an object that came as a whole. What a value must be beyond that is the
    model's business.
    """

    def __init__(
        self,
        model: type[BaseModel],
        mapping: Mapping[str, ColumnSource],
        constants: Mapping[str, str],
        *,
        skip_unknown: bool,
        time_format: str | None,
        zone: str | None,
        operation: str,
        target: str,
    ) -> None:
        """Raises ColumnError where the mapping or a constant is for no field, or one field has both."""
        schema = validator(model)["$jsonSchema"]
        self._kinds = _kinds_of(schema, model)
        self._fields = tuple(name for name in schema["properties"] if name != "_id")
        self.required = frozenset(schema.get("required", ()))
        self._open = schema.get("additionalProperties", True) is not False
        self._drop = skip_unknown or bool(mapping)
        self._time_format = time_format
        self._calendar = Calendar(None if zone is None else ZoneInfo(zone), None, first_of_two=False)
        self._operation = operation
        self._target = target
        both = [name for name in mapping if name in constants]
        if both:
            raise self._error(f"{both[0]!r} is both mapped and set")
        self.sources: dict[str, ColumnSource] = {
            **mapping,
            **{name: FromConstant(text) for name, text in constants.items()},
        }
        for name in self.sources:
            if not self._knows(name):
                raise self._error(f"no field {name}", hint=_close(name, self._fields))

    def columns(self, header: Collection[str]) -> list[str]:
        """The columns that are read of a file with this header. Raises ColumnError: a name stands twice, is not there
        though it is mapped, or is none of the dataset's though nothing is mapped and nothing may be skipped."""
        twice = [name for name in header if list(header).count(name) > 1]
        if twice:
            raise self._error(f"the header names {twice[0]!r} twice")
        needed = {name for source in self.sources.values() for name in source.needs}
        for name in needed:
            if name not in header and not any(name.startswith(f"{other}.") for other in header):
                raise self._error(f"the file has no column {name}", hint=_close(name, header))
        unknown = [name for name in header if not self._knows(name) and name not in needed]
        if unknown and not self._drop:
            raise self._error(
                f"the file's column {unknown[0]!r} is none of the dataset's",
                hint=f"the dataset has {', '.join(self._fields)}; map what is meant, or skip what is unknown",
            )
        if header and not any(self._knows(name) for name in header) and not needed:
            raise self._error(
                "none of the file's columns is one of the dataset's", hint=f"the dataset has {', '.join(self._fields)}"
            )
        parents = {name for name in header if any(need.startswith(f"{name}.") for need in needed)}
        return [name for name in header if name in needed | parents or self._knows(name)]

    def document(self, record: Mapping[str, Any], *, said: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The document of a record; `said` is what sources may name, where that is more than the record.

        Values that are None are left out. Raises LineError, with the field that is to blame.
        """
        made: dict[str, Any] = {}
        within: list[str] = []
        for name, value in record.items():
            if name in self.sources or value is None:
                continue
            if name in self._fields:
                self._put(made, name, value)
            elif self._knows(name):
                within.append(name)
            elif not self._drop:
                raise LineError("is no field of the dataset", column=name)
        for name in within:
            self._put(made, name, record[name])
        for name, source in self.sources.items():
            value = _value(source, record if said is None else said)
            if value is not None:
                self._put(made, name, value)
        return made

    def _knows(self, name: str) -> bool:
        return self._open or name in self._fields or name.partition(".")[0] in self._fields

    def _put(self, made: dict[str, Any], name: str, value: Any) -> None:
        value = self._read(name, value)
        if value is None:
            return
        top, *path = [name] if name in self._fields else name.split(".")
        if not path:
            made[top] = value
            return
        holder = made
        for part in (top, *path[:-1]):
            inner = holder.get(part, {})
            if not isinstance(inner, Mapping):
                raise LineError(f"has no {name}: {part} is no object", column=name)
            # a record's own object stays as it is
            holder[part] = holder = dict(inner)
        holder[path[-1]] = value

    def _read(self, name: str, value: Any) -> Any:
        match self._kinds.get(name, "plain"):
            case "time" if value == "":
                return None
            case "time" if isinstance(value, (str, int, float, date)) and not isinstance(value, bool):
                try:
                    return self._calendar.instant(read_stamp(value, self._time_format))
                except LineError as fault:
                    raise LineError(fault.reason, missing=fault.missing, column=name) from fault
            case "json" if isinstance(value, str):
                try:
                    return json.loads(value) if value.strip() else None
                except (ValueError, RecursionError) as error:
                    raise LineError(f"is no JSON: {error}", column=name) from error
            case _:
                return value

    def _error(self, cause: str, hint: str = "") -> ColumnError:
        return ColumnError(cause, operation=self._operation, target=self._target, hint=hint)


def _value(source: ColumnSource, said: Mapping[str, Any]) -> Any:
    match source:
        case FromColumn(name):
            return looked_up(said, name)
        case FromConstant(text):
            return text
        case FromTemplate(literals, columns):
            texts = [_text(looked_up(said, name)) for name in columns]
            if any(text is None for text in texts):
                return None
            return "".join(part or "" for pair in zip(literals, [*texts, ""], strict=True) for part in pair)
        case FromMid(bid, ask):
            return _mid(looked_up(said, bid), looked_up(said, ask), bid, ask)
        case _:
            assert_never(source)


def looked_up(said: Mapping[str, Any], name: str) -> Any:
    """The value of this name, or under this path; None where there is none."""
    if name in said:
        return said[name]
    value: Any = said
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _text(value: Any) -> str | None:
    """A value as a part of a text: texts as they are, times in ISO 8601, others as JSON writes them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _mid(bid: Any, ask: Any, *names: str) -> Decimal | float | None:
    """Half of the sum; exact, but of floats."""
    if bid is None or ask is None or bid == "" or ask == "":
        return None
    try:
        half = (Decimal(str(bid)) + Decimal(str(ask))) / 2
    except InvalidOperation as error:
        raise LineError(f"{bid!r} and {ask!r} are no two numbers", column=names[0]) from error
    return float(half) if isinstance(bid, float) or isinstance(ask, float) else half


def _kinds_of(schema: Mapping[str, Any], model: type[BaseModel]) -> dict[str, _Kind]:
    """By the names of fields, dotted where they are within an object, what their texts are read as."""
    days = {info.alias or name for name, info in model.model_fields.items() if _is_day(info.annotation)}
    found: dict[str, _Kind] = {}

    def look(properties: Mapping[str, Any], inside: str) -> None:
        for name, field in properties.items():
            parts = (field, *field.get("anyOf", ()))
            types = {kind for part in parts for kind in _listed(part.get("bsonType"))}
            is_time = "date" in types and name not in days
            found[inside + name] = "time" if is_time else "json" if types & {"object", "array"} else "plain"
            for part in parts:
                look(part.get("properties", {}), f"{inside}{name}.")

    look({name: field for name, field in schema["properties"].items() if name != "_id"}, "")
    return found


def _is_day(annotation: Any) -> bool:
    """A day alone, without a time, is pydantic's to read."""
    return date in (annotation, *get_args(annotation))


def _listed(kind: str | list[str] | None) -> list[str]:
    return kind if isinstance(kind, list) else [kind] if kind else []


def _close(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=3)
    return f"close to it: {', '.join(close)}" if close else f"there are: {', '.join(names)}"
