"""What a transaction is told when it opens."""

from __future__ import annotations

import pytest

from storekeeper.errors import InputError
from storekeeper.stores.sql.transaction import Terms, opening, session_opening


def test_a_newer_server_watches_the_transaction_itself() -> None:
    assert opening(Terms(30), 170000) == (
        """BEGIN; SET LOCAL "TimeZone" = 'UTC'; SET LOCAL "DateStyle" = 'ISO'; """
        """SET LOCAL "transaction_timeout" = '30000ms'"""
    )


def test_an_older_server_watches_statements_and_idleness() -> None:
    assert opening(Terms(1.5), 160004) == (
        """BEGIN; SET LOCAL "TimeZone" = 'UTC'; SET LOCAL "DateStyle" = 'ISO'; """
        """SET LOCAL "statement_timeout" = '1500ms'; """
        """SET LOCAL "idle_in_transaction_session_timeout" = '1500ms'"""
    )


def test_a_stricter_limit_of_the_role_stays() -> None:
    assert "\"statement_timeout\" = '500ms'" in opening(Terms(30), 150000, role_limit_ms=500)
    assert "\"statement_timeout\" = '30000ms'" in opening(Terms(30), 150000, role_limit_ms=90_000)


@pytest.mark.parametrize("version", [150000, 180000])
def test_without_a_limit_none_is_told(version: int) -> None:
    assert "timeout" not in opening(Terms(None), version)


def test_settings_are_quoted_and_isolation_goes_with_begin() -> None:
    terms = Terms(None, isolation="serializable", local={"app.current_user_id": "o'neil; DROP"})
    assert opening(terms, 180000) == (
        """BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL "TimeZone" = 'UTC'; SET LOCAL "DateStyle" = 'ISO'; """
        """SET LOCAL "app"."current_user_id" = 'o''neil; DROP'"""
    )


def test_outside_of_transactions_settings_are_the_sessions() -> None:
    terms = Terms(None, local={"lock_timeout": "2s"}, autocommit=True)
    assert session_opening(terms) == (
        """SET SESSION "TimeZone" = 'UTC'; SET SESSION "DateStyle" = 'ISO'; SET SESSION "lock_timeout" = '2s'"""
    )


def test_what_goes_first_goes_with_begin() -> None:
    assert opening(Terms(None, first="SELECT FROM here"), 180000).endswith("; SELECT FROM here")


@pytest.mark.parametrize("name", ["", "app.", ".x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        opening(Terms(None, local={name: "1"}), 180000)
