"""Errors of MongoDB by code and class."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WriteError,
)

from storekeeper import errors
from storekeeper.stores.mongo.failures import translate, translated


def unmet(field: str, why: str = "type did not match") -> dict[str, Any]:
    """What the server says of a document whose field breaks the validator."""
    leaf = {"operatorName": "bsonType", "reason": why, "consideredValue": "secret", "consideredType": "string"}
    rule = {"operatorName": "properties", "propertiesNotSatisfied": [{"propertyName": field, "details": [leaf]}]}
    return {"details": {"operatorName": "$jsonSchema", "schemaRulesNotSatisfied": [rule]}}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationFailure("x", 18), errors.AuthenticationError),
        (OperationFailure("x", 13), errors.PermissionDeniedError),
        (OperationFailure("x", 26), errors.NotMigratedError),
        (OperationFailure("x", 50), errors.StatementTimeoutError),
        (OperationFailure("x", 112), errors.ConflictError),
        (OperationFailure("x", 14031), errors.DiskFullError),
        (OperationFailure("x", 59), errors.NotSupportedError),
        (OperationFailure("x", 91), errors.UnavailableError),
        (OperationFailure("x", 11600), errors.UnavailableError),
        (OperationFailure("x", 99999), errors.StoreError),
        (DuplicateKeyError("x", 11000), errors.UniqueError),
        (WriteError("x", 121), errors.CheckError),
        (WriteConcernError("x", 64), errors.UnavailableError),
        (ServerSelectionTimeoutError("x"), errors.UnavailableError),
        (AutoReconnect("x"), errors.UnavailableError),
        (NetworkTimeout("x"), errors.StatementTimeoutError),
        (WaitQueueTimeoutError("x"), errors.PoolTimeoutError),
        (InvalidDocument("x"), errors.InputError),
        (OverflowError("x"), errors.InputError),
        (PyMongoError("x"), errors.StoreError),
    ],
)
def test_each_has_its_own_error(error: Exception, kind: type[errors.StorekeeperError]) -> None:
    found = translate(error, operation="read", target="market.logs")
    assert type(found) is kind
    assert str(found).startswith("read market.logs: ")


def test_a_duplicate_names_its_fields_and_no_value() -> None:
    details = {"keyPattern": {"symbol": 1, "madeAt": -1}, "keyValue": {"symbol": "secret"}, "errmsg": "dup key: secret"}
    found = translate(DuplicateKeyError("secret", 11000, details), operation="insert into", target="t")
    assert isinstance(found, errors.UniqueError)
    assert found.column == "symbol, madeAt"
    assert "secret" not in str(found)


def test_a_broken_validator_names_the_fields_however_deep() -> None:
    nested = {
        "operatorName": "properties",
        "propertiesNotSatisfied": [
            {"propertyName": "within", "details": [{"operatorName": "required", "missingProperties": ["low"]}]}
        ],
    }
    extra = {"operatorName": "additionalProperties", "additionalProperties": ["colour"]}
    details = {"errInfo": {"details": {"schemaRulesNotSatisfied": [nested, extra]}}}
    found = translate(WriteError("x", 121, details), operation="insert into", target="t")
    assert isinstance(found, errors.CheckError)
    assert found.cause == "within.low: is missing; colour: is unknown"
    assert found.column == "within.low"


def test_refused_documents_of_a_batch_are_told_by_index() -> None:
    failures = [
        {"index": 4, "code": 121, "errmsg": "no", "errInfo": unmet("level"), "op": {"message": "secret"}},
        {"index": 2, "code": 121, "errmsg": "no", "errInfo": unmet("service")},
    ]
    found = translate(BulkWriteError({"writeErrors": failures, "nInserted": 3}), operation="insert into", target="t")
    assert isinstance(found, errors.CheckError)
    assert found.rows == {2: "service: type did not match", 4: "level: type did not match"}
    assert "2 documents refused, 3 written: 2: service" in str(found)
    assert "secret" not in str(found)
    assert pickle.loads(pickle.dumps(found)).rows == found.rows


def test_a_batch_refused_for_several_reasons_is_a_constraint_error() -> None:
    failures = [
        {"index": 0, "code": 121, "errmsg": "no", "errInfo": unmet("level")},
        {"index": 1, "code": 11000, "errmsg": "no", "keyPattern": {"_id": 1}},
    ]
    found = translate(BulkWriteError({"writeErrors": failures, "nInserted": 0}), operation="insert into", target="t")
    assert type(found) is errors.ConstraintError
    assert set(found.rows) == {0, 1}


def test_a_batch_that_met_a_greater_trouble_tells_of_that() -> None:
    failures = [
        {"index": 0, "code": 11000, "errmsg": "no", "keyPattern": {"_id": 1}},
        {"index": 1, "code": 14031, "errmsg": "disk"},
    ]
    found = translate(BulkWriteError({"writeErrors": failures, "nInserted": 0}), operation="insert into", target="t")
    assert type(found) is errors.DiskFullError


def test_the_original_is_the_cause() -> None:
    original = OperationFailure("x", 13)
    with pytest.raises(errors.PermissionDeniedError) as caught, translated("read", "t"):
        raise original
    assert caught.value.__cause__ is original


def test_what_is_not_the_drivers_passes() -> None:
    with pytest.raises(ZeroDivisionError), translated("read", "t"):
        raise ZeroDivisionError
