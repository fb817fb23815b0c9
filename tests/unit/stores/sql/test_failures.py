"""SQLSTATE → error, as a table."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy.exc

from storekeeper import errors
from storekeeper.stores.sql.failures import meaning, of_code, sqlstate_of, translate, translated


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("08000", errors.UnavailableError),
        ("08006", errors.UnavailableError),
        ("0A000", errors.NotSupportedError),
        ("22001", errors.ValueFitError),
        ("22003", errors.ValueFitError),
        ("22012", errors.InputError),
        ("22P02", errors.ValueFitError),
        ("23001", errors.ForeignKeyError),
        ("23502", errors.NotNullError),
        ("23503", errors.ForeignKeyError),
        ("23505", errors.UniqueError),
        ("23514", errors.CheckError),
        ("23P01", errors.ConstraintError),
        ("25006", errors.StoreError),
        ("25P02", errors.StoreError),
        ("25P03", errors.StatementTimeoutError),
        ("25P04", errors.StatementTimeoutError),
        ("28000", errors.AuthenticationError),
        ("28P01", errors.AuthenticationError),
        ("3D000", errors.DatabaseMissingError),
        ("3F000", errors.NotMigratedError),
        ("40001", errors.ConflictError),
        ("40003", errors.StoreError),
        ("40P01", errors.ConflictError),
        ("42501", errors.PermissionDeniedError),
        ("42601", errors.StoreError),
        ("42703", errors.NotMigratedError),
        ("42P01", errors.NotMigratedError),
        ("53100", errors.DiskFullError),
        ("53200", errors.StoreError),
        ("53300", errors.UnavailableError),
        ("55P03", errors.ConflictError),
        ("57014", errors.StatementTimeoutError),
        ("57P01", errors.UnavailableError),
        ("57P02", errors.UnavailableError),
        ("57P03", errors.UnavailableError),
        ("SK001", errors.BelowWatermarkError),
        ("SK003", errors.KeptRowsError),
        ("XX000", errors.StoreError),
    ],
)
def test_a_sqlstate_has_one_error(sqlstate: str, error: type[errors.StorekeeperError]) -> None:
    assert meaning(sqlstate).error is error
    made = of_code(sqlstate, "cause", operation="append", target="invest.intraday_prices")
    assert type(made) is error
    assert (made.cause, made.operation, made.target) == ("cause", "append", "invest.intraday_prices")


@pytest.mark.parametrize("sqlstate", ["3F000", "42703", "42P01"])
def test_what_is_missing_comes_with_the_command_that_makes_it(sqlstate: str) -> None:
    assert "storekeeper migrate" in meaning(sqlstate).hint


def test_a_missing_database_comes_with_the_command_that_makes_it() -> None:
    assert "storekeeper migrate --create" in meaning("3D000").hint


def test_only_what_a_later_attempt_may_cure_is_retryable() -> None:
    assert meaning("40001").error.retryable
    assert meaning("57P01").error.retryable
    assert not meaning("23505").error.retryable
    assert not meaning("57014").error.retryable


def test_a_constraint_error_names_constraint_and_column() -> None:
    made = of_code("23502", "null", operation="add", constraint="users_email_key", column="email")
    assert isinstance(made, errors.NotNullError)
    assert (made.constraint, made.column) == ("users_email_key", "email")


def test_the_code_is_found_under_the_wrappings() -> None:
    original = psycopg.errors.SerializationFailure("could not serialize")
    wrapped = sqlalchemy.exc.OperationalError("SELECT 1", {}, original)
    with pytest.raises(errors.ConflictError) as caught, translated("move", "invest.portfolios"):
        raise wrapped
    assert caught.value.__cause__ is wrapped
    assert sqlstate_of(caught.value) == "40001"
    assert sqlstate_of(ValueError()) is None


def test_an_exhausted_pool_is_a_pool_timeout_with_a_hint() -> None:
    made = translate(sqlalchemy.exc.TimeoutError("QueuePool limit"), operation="read")
    assert type(made) is errors.PoolTimeoutError
    assert "pool_size" in made.hint


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (psycopg.OperationalError("the connection is closed"), errors.UnavailableError),
        (psycopg.DataError("integer too large"), errors.ValueFitError),
        (psycopg.InterfaceError("cursor already closed"), errors.StoreError),
    ],
)
def test_a_failure_of_the_client_has_no_code(raised: psycopg.Error, error: type[errors.StorekeeperError]) -> None:
    assert type(translate(raised, operation="read")) is error


def test_our_own_errors_pass_as_they_are() -> None:
    own = errors.NotSupportedError("no")
    assert translate(own, operation="compress") is own
    with pytest.raises(KeyError), translated("read"):
        raise KeyError("not of the store")
