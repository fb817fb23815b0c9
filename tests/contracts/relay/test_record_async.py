"""What may be recorded, and what a service needs to be allowed for it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from outbox_lab import CATALOG, NOTED, Amount, Note
from storekeeper import connect_async, record_async
from storekeeper.errors import InputError

READ = "SELECT effect, key, payload, attempts, delivered_at FROM storekeeper.outbox ORDER BY id"


def rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(READ).fetchall()


async def test_it_is_written_by_a_session_and_by_a_connection(migrated_url: str) -> None:
    async with connect_async(stores=("postgres",), postgres_url=migrated_url, catalog=CATALOG) as platform:
        async with platform.postgres.session() as session:
            await record_async(session, NOTED, key="a", payload=Note(text="café", count=3))
        async with platform.postgres.begin() as connection:
            await record_async(connection, NOTED, key="b", payload=Note(text="two"))
    assert rows(migrated_url) == [
        ("lab.noted", "a", {"text": "café", "count": 3}, 0, None),
        ("lab.noted", "b", {"text": "two", "count": 0}, 0, None),
    ]


async def test_another_payload_or_an_empty_key_is_refused(migrated_url: str) -> None:
    async with connect_async(stores=("postgres",), postgres_url=migrated_url, catalog=CATALOG) as platform:
        async with platform.postgres.begin() as connection:
            with pytest.raises(InputError, match=r"record lab\.noted: carries a Note, not a Amount"):
                await record_async(connection, NOTED, key="a", payload=Amount(amount=1))
            for key in ("", "a\0b"):
                with pytest.raises(InputError, match=r"record lab\.noted: a key is a text"):
                    await record_async(connection, NOTED, key=key, payload=Note(text="one"))
    assert rows(migrated_url) == []


async def test_a_role_that_may_only_insert_those_three_columns_can_record(migrated_url: str) -> None:
    async with connect_async(stores=("postgres",), postgres_url=migrated_url, catalog=CATALOG) as platform:
        async with platform.postgres.begin() as connection:
            for statement in (
                "CREATE ROLE outbox_lab_app",
                "GRANT USAGE ON SCHEMA storekeeper TO outbox_lab_app",
                "GRANT INSERT (effect, key, payload) ON storekeeper.outbox TO outbox_lab_app",
            ):
                await connection.exec_driver_sql(statement)
        try:
            async with platform.postgres.begin(local={"role": "outbox_lab_app"}) as connection:
                await record_async(connection, NOTED, key="a", payload=Note(text="one"))
        finally:
            async with platform.postgres.begin() as connection:
                await connection.exec_driver_sql("DROP OWNED BY outbox_lab_app")
                await connection.exec_driver_sql("DROP ROLE outbox_lab_app")
    assert [row[:2] for row in rows(migrated_url)] == [("lab.noted", "a")]
