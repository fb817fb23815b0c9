"""Errors of Redis by class and code."""

from __future__ import annotations

import pytest
from redis import exceptions

from storekeeper import errors
from storekeeper.stores.redis.failures import translate, translated


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.AuthenticationError("x"), errors.AuthenticationError),
        (exceptions.NoPermissionError("x"), errors.PermissionDeniedError),
        (exceptions.BusyLoadingError("x"), errors.UnavailableError),
        (exceptions.OutOfMemoryError("x"), errors.DiskFullError),
        (exceptions.ReadOnlyError("x"), errors.UnavailableError),
        (exceptions.ConnectionError("x"), errors.UnavailableError),
        (exceptions.TimeoutError("x"), errors.StatementTimeoutError),
        (exceptions.InvalidResponse("x"), errors.WrongServerError),
        (exceptions.DataError("x"), errors.InputError),
        (exceptions.ResponseError("MISCONF cannot save"), errors.DiskFullError),
        (exceptions.ResponseError("NOREPLICAS x"), errors.UnavailableError),
        (exceptions.ResponseError("DENIED x"), errors.PermissionDeniedError),
        (exceptions.ResponseError("WRONGTYPE x"), errors.StoreError),
        (exceptions.ResponseError("ERR the word MISCONF decides nothing here"), errors.StoreError),
    ],
)
def test_each_has_its_own_error(error: Exception, kind: type[errors.StorekeeperError]) -> None:
    found = translate(error, operation="put", target="session:{session_id}")
    assert type(found) is kind
    assert str(found).startswith("put session:{session_id}: ")


def test_a_pipelines_error_goes_by_its_code_and_quotes_no_value() -> None:
    original = exceptions.ResponseError(
        "Command # 2 (HSET session:1 token secret) of pipeline caused error: MISCONF cannot save"
    )
    with pytest.raises(errors.DiskFullError) as caught, translated("put", "session"):
        raise original
    assert caught.value.__cause__ is original
    assert "secret" not in f"{caught.value}{original}"
