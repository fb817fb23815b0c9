"""$jsonSchema from models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from store_models import Forecast, Log, Range
from storekeeper.stores.mongo.schema import NUMBERS, validator


def schema(model: type[BaseModel]) -> dict[str, Any]:
    found = validator(model)
    assert list(found) == ["$jsonSchema"]
    inner: dict[str, Any] = found["$jsonSchema"]
    return inner


def test_a_log_is_checked_to_the_letter() -> None:
    assert schema(Log) == {
        "bsonType": "object",
        "required": ["timestamp", "level", "service", "message"],
        "properties": {
            "_id": {},
            "timestamp": {"bsonType": "date"},
            "level": {"bsonType": "string", "enum": ["info", "warn", "error"]},
            "service": {"bsonType": "string"},
            "message": {"bsonType": "string"},
            "metadata": {"bsonType": "object"},
            "userId": {"bsonType": "binData"},
            "stackTrace": {"bsonType": "string"},
        },
        "additionalProperties": False,
    }


def test_every_sort_of_field_has_its_type() -> None:
    found = schema(Forecast)
    inner = {
        "bsonType": "object",
        "required": ["low"],
        "properties": {"low": {"bsonType": NUMBERS}, "high": {"bsonType": NUMBERS}},
    }
    assert found["required"] == ["symbol", "madeAt", "confidence", "target", "side", "samples"]
    assert found["properties"] == {
        "_id": {},
        "symbol": {"bsonType": "string", "minLength": 1, "maxLength": 10, "pattern": "^[A-Z.]+$"},
        "madeAt": {"bsonType": "date"},
        "confidence": {"bsonType": NUMBERS, "minimum": 0, "maximum": 1},
        "target": {"bsonType": NUMBERS, "minimum": 0, "exclusiveMinimum": True},
        "side": {"bsonType": "string", "enum": ["buy", "sell"]},
        "samples": {"bsonType": ["int", "long"]},
        "horizon": {"bsonType": "string", "enum": ["1d"]},
        "within": inner,
        "steps": {"bsonType": "array", "items": inner},
        "weights": {"bsonType": "object", "additionalProperties": {"bsonType": NUMBERS}},
        "label": {"anyOf": [{"bsonType": ["int", "long"]}, {"bsonType": "string"}]},
        "blob": {"bsonType": "binData"},
    }


def test_a_model_that_allows_extra_fields_leaves_the_document_open() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str

    assert "additionalProperties" not in schema(Open)


def test_a_model_that_ignores_extra_fields_closes_the_document() -> None:
    assert schema(Range)["additionalProperties"] is False
    assert "additionalProperties" not in schema(Forecast)["properties"]["within"]


def test_a_model_that_holds_itself_ends() -> None:
    class Node(BaseModel):
        name: str
        children: list[Node] = []

    Node.model_rebuild(_types_namespace={"Node": Node})
    children = schema(Node)["properties"]["children"]
    assert children["bsonType"] == "array"
    assert "$ref" not in repr(children)


def test_what_is_required_and_may_be_none_may_be_absent() -> None:
    class Maybe(BaseModel):
        name: str | None

    assert "required" not in schema(Maybe)
