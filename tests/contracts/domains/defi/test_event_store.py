# Generated from test_event_store_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Streams of events on a real server: appended all or none, in one order without a gap, whoever else appends."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from defi_domain import AT, HOUR, defi_platform
from storekeeper import InputError, Platform
from storekeeper.domains.defi.errors import StreamConflictError
from storekeeper.domains.defi.events import NewEvent, StoredEvent, Stream
from storekeeper.domains.defi.operations.event_store import append, as_of, read_all, read_stream, version_of
from storekeeper.errors import KeptRowsError, NotSupportedError, UniqueError


@pytest.fixture
def platform(migrated_url: str) -> Generator[Platform]:
    with defi_platform(migrated_url) as platform:
        yield platform


def loan() -> Stream:
    return Stream("loan", uuid4())


def lent(*amounts: int) -> list[NewEvent]:
    return [NewEvent("lent", {"amount": amount}) for amount in amounts]


def appended(
    platform: Platform, stream: Stream, expected: int, *amounts: int, hours: int = 0
) -> tuple[StoredEvent, ...]:
    with platform.postgres.session() as session:
        return append(session, stream, expected, lent(*amounts), at=AT + hours * HOUR)


def amounts_of(platform: Platform, stream: Stream, **bounds: Any) -> list[int]:
    with platform.postgres.session() as session:
        return [event.payload["amount"] for event in read_stream(session, stream, **bounds)]


def ids(platform: Platform, after: int = 0) -> list[int]:
    with platform.postgres.session() as session:
        return [event.id for event in read_all(session, after=after, batch=2)]


def test_what_was_appended_is_read(platform: Platform) -> None:
    stream, user_id = loan(), uuid4()
    event = NewEvent(
        "lent", {"amount": Decimal("1.10"), "to": user_id, "at": AT, "terms": [None, True, 0.5]}, {"by": "x"}
    )
    with platform.postgres.session() as session:
        (first, second) = append(session, stream, 0, [event, NewEvent("repaid", {})], at=AT)
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
    with platform.postgres.session() as session:
        assert [event.id for event in read_stream(session, stream)] == [first.id, second.id]
        assert [(event.id, event) for event in read_all(session)] == [(first.id, first), (second.id, second)]
        assert version_of(session, stream) == 2
        assert version_of(session, loan()) == 0


def test_a_stream_is_read_from_a_version_in_any_batches(platform: Platform) -> None:
    stream = loan()
    appended(platform, stream, 0, 1, 2, 3)
    appended(platform, loan(), 0, 9, 9)
    appended(platform, stream, 3, 4, 5)
    for batch in (1, 2, 5, 100):
        assert amounts_of(platform, stream, batch=batch) == [1, 2, 3, 4, 5]
    assert amounts_of(platform, stream, after=2) == [3, 4, 5]
    assert amounts_of(platform, stream, after=1, up_to=3) == [2, 3]
    assert amounts_of(platform, stream, after=5) == []
    assert amounts_of(platform, Stream("vault", stream.id)) == []


@pytest.mark.parametrize("expected", [0, 1, 3, 7])
def test_an_append_to_another_version_writes_nothing_and_the_transaction_goes_on(
    platform: Platform, expected: int
) -> None:
    stream = loan()
    appended(platform, stream, 0, 1, 2)
    with platform.postgres.session() as session:
        with pytest.raises(StreamConflictError, match=rf"at version 2, not {expected}") as conflict:
            append(session, stream, expected, lent(7, 8, 9), at=AT)
        assert "after version" in conflict.value.hint
        append(session, stream, 2, lent(3), at=AT)
    assert amounts_of(platform, stream) == [1, 2, 3]


def test_an_id_is_of_one_type_only(platform: Platform) -> None:
    stream = loan()
    appended(platform, stream, 0, 1)
    with pytest.raises(StreamConflictError, match="the aggregate is a loan"):
        appended(platform, Stream("vault", stream.id), 1, 2)


def test_what_is_no_event_is_refused(platform: Platform) -> None:
    with platform.postgres.session() as session:
        for expected, events in (
            (0, []),
            (-1, lent(1)),
            (0, [NewEvent("lent", {"amount": float("nan")})]),
            (0, [NewEvent("lent", {"amount": object()})]),
        ):
            with pytest.raises(InputError):
                append(session, loan(), expected, events, at=AT)
    assert ids(platform) == []


def test_a_reader_does_not_pass_what_is_still_open(platform: Platform) -> None:
    (before,) = appended(platform, loan(), 0, 1)
    with platform.postgres.session() as slow:
        (held,) = append(slow, loan(), 0, lent(2), at=AT)
        (after,) = appended(platform, loan(), 0, 3)
        assert before.id < held.id < after.id
        assert ids(platform) == [before.id]
        with platform.postgres.session() as slower:
            append(slower, loan(), 0, lent(4), at=AT)
            slow.commit()
            assert ids(platform) == [before.id], "the outer transaction ends with its block"
    assert ids(platform) == [before.id, held.id, after.id, after.id + 1]


def test_what_was_rolled_back_leaves_a_hole_that_is_passed(platform: Platform) -> None:
    with pytest.raises(LookupError):
        with platform.postgres.session() as session:
            append(session, loan(), 0, lent(1, 2), at=AT)
            raise LookupError
    appended(platform, loan(), 0, 3)
    assert ids(platform) == [3]


def test_a_savepoint_that_is_rolled_back_holds_nobody_up(platform: Platform) -> None:
    with platform.postgres.session() as session:
        nested = session.begin_nested()
        append(session, loan(), 0, lent(1), at=AT)
        nested.rollback()
        appended(platform, loan(), 0, 2)
        assert ids(platform) == [2]
        # and after it the transaction is a writer anew
        append(session, loan(), 0, lent(3), at=AT)
        appended(platform, loan(), 0, 4)
        assert ids(platform) == [2]
    assert ids(platform) == [2, 3, 4]


def test_a_transaction_of_many_appends_holds_one_lock(platform: Platform) -> None:
    with platform.postgres.session() as session:
        for _ in range(20):
            append(session, loan(), 0, lent(1), at=AT)
        held = session.scalar(
            sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        )
    assert held == 1


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_all_events_are_read_by_statements_with_snapshots_of_their_own(platform: Platform, isolation: str) -> None:
    with pytest.raises(NotSupportedError, match="snapshot"):
        with platform.postgres.session(isolation=isolation) as session:  # type: ignore[arg-type]  # parametrized
            for _ in read_all(session):
                pass


def test_the_table_takes_rows_and_changes_none(platform: Platform) -> None:
    appended(platform, loan(), 0, 1)
    for statement in (
        "UPDATE defi.event_store SET version = 2",
        "DELETE FROM defi.event_store",
        "TRUNCATE defi.event_store",
        "TRUNCATE defi.event_archives",
        "DELETE FROM defi.event_archives",
    ):
        with pytest.raises(KeptRowsError):
            with platform.postgres.begin() as connection:
                connection.execute(sa.text(statement))
    assert ids(platform) == [1]


def test_the_version_of_an_archived_event_is_taken_by_nobody(platform: Platform) -> None:
    stream = loan()
    with platform.postgres.begin() as connection:
        connection.execute(sa.text("INSERT INTO defi.archived_streams VALUES (:id, 'loan', 2)"), {"id": stream.id})
    with pytest.raises(StreamConflictError, match="at version 2, not 1"):
        appended(platform, stream, 1, 5)
    with pytest.raises(UniqueError) as refused:
        with platform.postgres.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO defi.event_store (aggregate_type, aggregate_id, version, event_type, payload) "
                    "VALUES ('loan', :id, 2, 'lent', '{}')"
                ),
                {"id": stream.id},
            )
    assert refused.value.constraint == "uq_event_store_aggregate_version"
    assert [event.version for event in appended(platform, stream, 2, 6)] == [3]


def test_a_projection_as_of_an_event_a_version_or_a_moment(platform: Platform) -> None:
    stream = loan()
    for version in range(4):
        appended(platform, stream, version, 10**version, hours=version)
        appended(platform, loan(), 0, 5, hours=version)

    def total(state: int, event: StoredEvent) -> int:
        return state + int(event.payload["amount"])

    with platform.postgres.session() as session:
        assert as_of(session, stream, 0, total) == 1111
        assert as_of(session, stream, 0, total, version=2) == 11
        assert as_of(session, stream, 0, total, event_id=5) == 111
        assert as_of(session, stream, 7, total, moment=AT + 2.5 * HOUR) == 118
        assert as_of(session, stream, 0, total, moment=AT - timedelta(seconds=1)) == 0
        assert as_of(session, None, 0, total) == 1131
        assert as_of(session, None, 0, total, event_id=4) == 21
        assert as_of(session, None, 0, total, moment=AT) == 6
        with pytest.raises(InputError):
            as_of(session, None, 0, total, version=1)
