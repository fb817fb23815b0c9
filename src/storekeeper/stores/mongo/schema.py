"""A pydantic model as the $jsonSchema of a validator, so that the server refuses what the model does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

NUMBERS = ["double", "int", "long", "decimal"]

_BSON_TYPES: Mapping[str, str | list[str]] = {
    "string": "string",
    "integer": ["int", "long"],
    "number": NUMBERS,
    "boolean": "bool",
    "array": "array",
    "object": "object",
    "null": "null",
}
#: The keywords of JSON Schema that MongoDB has, but those which need more than copying; all others it refuses.
_COPIED = (
    *("bsonType", "enum", "required", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
)


def validator(model: type[BaseModel]) -> dict[str, Any]:
    """The validator of a collection of the model's documents: {"$jsonSchema": …}.

    Fields go by alias. One that may be None is absent then, hence not required. Fields that the model does not know are
    refused at the top, unless it allows extra ones; a nested object is open unless its model forbids them.
    """
    json_schema = model.model_json_schema(by_alias=True, schema_generator=_BsonTypes, mode="serialization")
    schema = _translated(json_schema, json_schema.get("$defs", {}), ())
    schema["properties"] = {"_id": {}, **schema.get("properties", {})}
    if model.model_config.get("extra") != "allow":
        schema["additionalProperties"] = False
    return {"$jsonSchema": schema}


class _BsonTypes(GenerateJsonSchema):
    """JSON Schema with MongoDB's types where JSON has none of its own."""

    def uuid_schema(self, schema: core_schema.UuidSchema) -> JsonSchemaValue:
        return {"bsonType": "binData"}

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        return {"bsonType": "binData"}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return {"bsonType": "date"}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return {"bsonType": "date"}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        bounds = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
        limits = {name: float(schema[key]) for key, name in bounds.items() if key in schema}  # type: ignore[literal-required]  # names of a table
        return {"bsonType": NUMBERS, **limits}

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        return self.generate_inner(_without_none(schema["schema"]))

    def field_is_required(
        self, field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField, total: bool
    ) -> bool:
        if field["type"] == "model-field" and field["schema"]["type"] == "nullable":
            return False
        return super().field_is_required(field, total)


def _without_none(schema: core_schema.CoreSchema) -> core_schema.CoreSchema:
    while schema["type"] in ("default", "nullable"):
        schema = schema["schema"]
    return schema


def _translated(schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
    """JSON Schema 2020 as the draft 4 that MongoDB knows: references put in place, bsonType for type."""

    def inner(part: Any) -> Any:
        return _translated(part, definitions, inside) if isinstance(part, Mapping) else part

    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in inside:
            return {}  # a model that holds itself: what lies deeper is the model's business
        return _translated(definitions[name], definitions, (*inside, name))
    result: dict[str, Any] = {}
    if "type" in schema:
        result["bsonType"] = _BSON_TYPES[schema["type"]]
    result |= {name: schema[name] for name in _COPIED if name in schema}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in schema:
            result |= {limit: schema[bound], bound: True}
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            result[name] = [inner(part) for part in schema[name]]
    if "prefixItems" in schema:
        result |= {"items": [inner(part) for part in schema["prefixItems"]], "additionalItems": False}
    elif schema.get("items"):
        result["items"] = inner(schema["items"])
    for name in ("properties", "patternProperties"):
        if name in schema:
            result[name] = {key: inner(part) for key, part in schema[name].items()}
    if schema.get("additionalProperties", True) not in (True, {}):
        result["additionalProperties"] = inner(schema["additionalProperties"])
    return result
