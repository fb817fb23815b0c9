"""Streams of events on a real server: appended all or none, in one order without a gap, whoever else appends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain_async import AT, HOUR, defi_platform
from storekeeper import AsyncPlatform, InputError
from storekeeper.domains.defi.errors import StreamConflictError
from storekeeper.domains.defi.events import NewEvent, StoredEvent, Stream
from storekeeper.domains.defi.operations.event_store_async import append, as_of, read_all, read_stream, version_of
from storekeeper.errors import KeptRowsError, NotSupportedError, UniqueError


@pytest.fixture
async def platform(migrated_url: str) -> AsyncGenerator[AsyncPlatform]:
    async with defi_platform(migrated_url) as platform:
        yield platform


def loan() -> Stream:
    return Stream("loan", uuid4())


def lent(*amounts: int) -> list[NewEvent]:
    return [NewEvent("lent", {"amount": amount}) for amount in amounts]


async def appended(
    platform: AsyncPlatform, stream: Stream, expected: int, *amounts: int, hours: int = 0
) -> tuple[StoredEvent, ...]:
    async with platform.postgres.session() as session:
        return await append(session, stream, expected, lent(*amounts), at=AT + hours * HOUR)


async def amounts_of(platform: AsyncPlatform, stream: Stream, **bounds: Any) -> list[int]:
    async with platform.postgres.session() as session:
        return [event.payload["amount"] async for event in read_stream(session, stream, **bounds)]


async def ids(platform: AsyncPlatform, after: int = 0) -> list[int]:
    async with platform.postgres.session() as session:
        return [event.id async for event in read_all(session, after=after, batch=2)]


async def test_what_was_appended_is_read(platform: AsyncPlatform) -> None:
    stream, user_id = loan(), uuid4()
    event = NewEvent(
        "lent", {"amount": Decimal("1.10"), "to": user_id, "at": AT, "terms": [None, True, 0.5]}, {"by": "x"}
    )
    async with platform.postgres.session() as session:
        (first, second) = await append(session, stream, 0, [event, NewEvent("repaid", {})], at=AT)
    assert first.payload == {
        "amount": "1.10",
        "to": str(user_id),
        "at": "2025-06-01T12:00:00Z",
        "terms": [None, True, 0.5],
    }
    assert (first.stream, first.version, first.type, first.meta, first.occurred_at) == (
        stream,
        1,
        "lent",
        {"by": "x"},
        AT,
    )
    assert (second.version, second.type, second.payload, second.meta) == (2, "repaid", {}, {})
    async with platform.postgres.session() as session:
        assert [event.id async for event in read_stream(session, stream)] == [first.id, second.id]
        assert [(event.id, event) async for event in read_all(session)] == [(first.id, first), (second.id, second)]
        assert await version_of(session, stream) == 2
        assert await version_of(session, loan()) == 0


async def test_a_stream_is_read_from_a_version_in_any_batches(platform: AsyncPlatform) -> None:
    stream = loan()
    await appended(platform, stream, 0, 1, 2, 3)
    await appended(platform, loan(), 0, 9, 9)
    await appended(platform, stream, 3, 4, 5)
    for batch in (1, 2, 5, 100):
        assert await amounts_of(platform, stream, batch=batch) == [1, 2, 3, 4, 5]
    assert await amounts_of(platform, stream, after=2) == [3, 4, 5]
    assert await amounts_of(platform, stream, after=1, up_to=3) == [2, 3]
    assert await amounts_of(platform, stream, after=5) == []
    assert await amounts_of(platform, Stream("vault", stream.id)) == []


@pytest.mark.parametrize("expected", [0, 1, 3, 7])
async def test_an_append_to_another_version_writes_nothing_and_the_transaction_goes_on(
    platform: AsyncPlatform, expected: int
) -> None:
    stream = loan()
    await appended(platform, stream, 0, 1, 2)
    async with platform.postgres.session() as session:
        with pytest.raises(StreamConflictError, match=rf"at version 2, not {expected}") as conflict:
            await append(session, stream, expected, lent(7, 8, 9), at=AT)
        assert "after version" in conflict.value.hint
        await append(session, stream, 2, lent(3), at=AT)
    assert await amounts_of(platform, stream) == [1, 2, 3]


async def test_an_id_is_of_one_type_only(platform: AsyncPlatform) -> None:
    stream = loan()
    await appended(platform, stream, 0, 1)
    with pytest.raises(StreamConflictError, match="the aggregate is a loan"):
        await appended(platform, Stream("vault", stream.id), 1, 2)


async def test_what_is_no_event_is_refused(platform: AsyncPlatform) -> None:
    async with platform.postgres.session() as session:
        for expected, events in (
            (0, []),
            (-1, lent(1)),
            (0, [NewEvent("lent", {"amount": float("nan")})]),
            (0, [NewEvent("lent", {"amount": object()})]),
        ):
            with pytest.raises(InputError):
                await append(session, loan(), expected, events, at=AT)
    assert await ids(platform) == []


async def test_a_reader_does_not_pass_what_is_still_open(platform: AsyncPlatform) -> None:
    (before,) = await appended(platform, loan(), 0, 1)
    async with platform.postgres.session() as slow:
        (held,) = await append(slow, loan(), 0, lent(2), at=AT)
        (after,) = await appended(platform, loan(), 0, 3)
        assert before.id < held.id < after.id
        assert await ids(platform) == [before.id]
        async with platform.postgres.session() as slower:
            await append(slower, loan(), 0, lent(4), at=AT)
            await slow.commit()
            assert await ids(platform) == [before.id], "the outer transaction ends with its block"
    assert await ids(platform) == [before.id, held.id, after.id, after.id + 1]


async def test_what_was_rolled_back_leaves_a_hole_that_is_passed(platform: AsyncPlatform) -> None:
    with pytest.raises(LookupError):
        async with platform.postgres.session() as session:
            await append(session, loan(), 0, lent(1, 2), at=AT)
            raise LookupError
    await appended(platform, loan(), 0, 3)
    assert await ids(platform) == [3]


async def test_a_savepoint_that_is_rolled_back_holds_nobody_up(platform: AsyncPlatform) -> None:
    async with platform.postgres.session() as session:
        nested = await session.begin_nested()
        await append(session, loan(), 0, lent(1), at=AT)
        await nested.rollback()
        await appended(platform, loan(), 0, 2)
        assert await ids(platform) == [2]
        # and after it the transaction is a writer anew
        await append(session, loan(), 0, lent(3), at=AT)
        await appended(platform, loan(), 0, 4)
        assert await ids(platform) == [2]
    assert await ids(platform) == [2, 3, 4]


async def test_a_transaction_of_many_appends_holds_one_lock(platform: AsyncPlatform) -> None:
    async with platform.postgres.session() as session:
        for _ in range(20):
            await append(session, loan(), 0, lent(1), at=AT)
        held = await session.scalar(
            sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        )
    assert held == 1


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_all_events_are_read_by_statements_with_snapshots_of_their_own(
    platform: AsyncPlatform, isolation: str
) -> None:
    with pytest.raises(NotSupportedError, match="snapshot"):
        async with platform.postgres.session(isolation=isolation) as session:  # type: ignore[arg-type]  # parametrized
            async for _ in read_all(session):
                pass


async def test_the_table_takes_rows_and_changes_none(platform: AsyncPlatform) -> None:
    await appended(platform, loan(), 0, 1)
    for statement in (
        "UPDATE defi.event_store SET version = 2",
        "DELETE FROM defi.event_store",
        "TRUNCATE defi.event_store",
        "TRUNCATE defi.event_archives",
        "DELETE FROM defi.event_archives",
    ):
        with pytest.raises(KeptRowsError):
            async with platform.postgres.begin() as connection:
                await connection.execute(sa.text(statement))
    assert await ids(platform) == [1]


async def test_the_version_of_an_archived_event_is_taken_by_nobody(platform: AsyncPlatform) -> None:
    stream = loan()
    async with platform.postgres.begin() as connection:
        await connection.execute(
            sa.text("INSERT INTO defi.archived_streams VALUES (:id, 'loan', 2)"), {"id": stream.id}
        )
    with pytest.raises(StreamConflictError, match="at version 2, not 1"):
        await appended(platform, stream, 1, 5)
    with pytest.raises(UniqueError) as refused:
        async with platform.postgres.begin() as connection:
            await connection.execute(
                sa.text(
                    "INSERT INTO defi.event_store (aggregate_type, aggregate_id, version, event_type, payload) "
                    "VALUES ('loan', :id, 2, 'lent', '{}')"
                ),
                {"id": stream.id},
            )
    assert refused.value.constraint == "uq_event_store_aggregate_version"
    assert [event.version for event in await appended(platform, stream, 2, 6)] == [3]


async def test_a_projection_as_of_an_event_a_version_or_a_moment(platform: AsyncPlatform) -> None:
    stream = loan()
    for version in range(4):
        await appended(platform, stream, version, 10**version, hours=version)
        await appended(platform, loan(), 0, 5, hours=version)

    def total(state: int, event: StoredEvent) -> int:
        return state + int(event.payload["amount"])

    async with platform.postgres.session() as session:
        assert await as_of(session, stream, 0, total) == 1111
        assert await as_of(session, stream, 0, total, version=2) == 11
        assert await as_of(session, stream, 0, total, event_id=5) == 111
        assert await as_of(session, stream, 7, total, moment=AT + 2.5 * HOUR) == 118
        assert await as_of(session, stream, 0, total, moment=AT - timedelta(seconds=1)) == 0
        assert await as_of(session, None, 0, total) == 1131
        assert await as_of(session, None, 0, total, event_id=4) == 21
        assert await as_of(session, None, 0, total, moment=AT) == 6
        with pytest.raises(InputError):
            await as_of(session, None, 0, total, version=1)
