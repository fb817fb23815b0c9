"""The audit log: appended in the caller's transaction, by a service that can do nothing else to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row

from storekeeper import AsyncPlatform, audit_async, connect_async
from storekeeper.errors import KeptRowsError, PermissionDeniedError

USER = "7d1c1b4e-8f0b-4f0e-9a51-6a7a4a3f5a01"


@pytest.fixture
async def service(role_settings: dict[str, Any]) -> AsyncIterator[AsyncPlatform]:
    async with connect_async(stores=("postgres",), **role_settings) as platform:
        yield platform


def rows_in(url: str) -> list[dict[str, Any]]:
    """The log, past every right."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM storekeeper.audit_log ORDER BY id").fetchall()


async def test_a_row_says_who_did_what_when_and_for_which_request(service: AsyncPlatform, migrated_url: str) -> None:
    async with service.postgres.session(user_id=USER, request_id="req-1") as session:
        await audit_async(session, "login", subject="deals.users", subject_id=USER, detail={"attempts": 2, "mfa": True})
    async with service.postgres.begin() as connection:
        await audit_async(connection, "login_failed", subject="deals.users", subject_id="ab" * 32)
    first, second = rows_in(migrated_url)
    assert (first["action"], first["subject"], first["subject_id"]) == ("login", "deals.users", USER)
    assert (first["actor"], first["request_id"]) == (USER, "req-1")
    assert first["detail"] == {"attempts": 2, "mfa": True}
    assert first["db_role"].endswith("_app")
    assert abs(datetime.now(UTC) - first["at"]) < timedelta(seconds=30)
    assert (second["actor"], second["request_id"], second["detail"]) == (None, None, {})


async def test_a_row_goes_with_its_transaction(service: AsyncPlatform, migrated_url: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with service.postgres.session() as session:
            await audit_async(session, "role_changed", subject="deals.users", subject_id=USER)
            raise ZeroDivisionError
    assert rows_in(migrated_url) == []
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute("SELECT count(*) FROM storekeeper.audit_pending").fetchone() == (0,)


REFUSED = (
    "SELECT count(*) FROM storekeeper.audit_log",
    "UPDATE storekeeper.audit_log SET action = 'login'",
    "DELETE FROM storekeeper.audit_log",
    "TRUNCATE storekeeper.audit_log",
    "SELECT count(*) FROM storekeeper.audit_chain",
    "INSERT INTO storekeeper.audit_chain VALUES (1, 1, '', now())",
    "SELECT count(*) FROM storekeeper.audit_pending",
    "DELETE FROM storekeeper.audit_pending",
    "ALTER TABLE storekeeper.audit_log DISABLE TRIGGER ALL",
)


async def test_a_service_can_only_append(service: AsyncPlatform) -> None:
    for statement in REFUSED:
        with pytest.raises(PermissionDeniedError):
            async with service.postgres.begin() as connection:
                await connection.execute(sa.text(statement))


async def test_the_owner_too_is_told_that_rows_stay(role_settings: dict[str, Any]) -> None:
    async with connect_async(stores=("postgres",), role="owner", **role_settings) as owner:
        for table, column in (("audit_log", "action"), ("audit_chain", "hash")):
            for change in ("DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET {} = {}"):
                with pytest.raises(KeptRowsError, match="only appended to"):
                    async with owner.postgres.begin() as connection:
                        await connection.execute(sa.text(change.format(f"storekeeper.{table}", column, column)))


async def test_time_actor_and_role_cannot_be_made_up(
    service: AsyncPlatform, role_settings: dict[str, Any], migrated_url: str
) -> None:
    forged = """
        INSERT INTO storekeeper.audit_log (at, action, subject, subject_id, actor, request_id, db_role)
        VALUES ('2001-01-01', 'login', 'deals.users', '1', 'somebody else', 'r', 'postgres')
    """
    with pytest.raises(PermissionDeniedError):
        async with service.postgres.begin() as connection:
            await connection.execute(sa.text(forged))
    async with (
        connect_async(stores=("postgres",), role="owner", **role_settings) as owner,
        owner.postgres.begin(local={"app.current_user_id": USER}) as connection,
    ):
        await connection.execute(sa.text(forged))
    (row,) = rows_in(migrated_url)
    assert row["at"].year > 2001
    assert (row["actor"], row["request_id"]) == (USER, None)
    assert row["db_role"].endswith("_owner")
