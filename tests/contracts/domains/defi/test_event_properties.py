"""Any history of appends, archivings and reads against a plain list; any life of an intent against a table of steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from defi_domain import AT, defi_platform, new_user
from storekeeper import Platform
from storekeeper.domains.defi.archive import Archive
from storekeeper.domains.defi.archiving import archive_events
from storekeeper.domains.defi.errors import SettledError, StreamConflictError
from storekeeper.domains.defi.events import NewEvent, StoredEvent, Stream
from storekeeper.domains.defi.operations import intents
from storekeeper.domains.defi.operations.event_store import append, as_of, read_all, read_stream, version_of
from storekeeper.domains.defi.shapes import Condition, IntentAction

STREAMS = tuple(Stream("loan", UUID(int=number)) for number in range(3))
DAY = timedelta(days=1)
NOTHING: tuple[int, ...] = ()

#: (stream, error in the expected version, number of events, days since the one before, undone?), or an archiving.
appends = st.tuples(
    st.sampled_from(STREAMS), st.sampled_from((0, 0, 0, -1, 1)), st.integers(1, 3), st.integers(0, 300), st.booleans()
)
histories = st.lists(st.one_of(appends, appends, appends, st.just("archive")), max_size=14)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abc"), inner, max_size=3)),
    max_leaves=5,
)
#: One database serves all examples: each empties it first.
SLOW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def platform(shared_url: str) -> Iterator[Platform]:
    with defi_platform(shared_url) as platform:
        yield platform


def emptied(url: str) -> None:
    """As the owner of the tables can, who may switch their triggers off."""
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("TRUNCATE defi.event_store, defi.event_archives, defi.archived_streams RESTART IDENTITY")


@SLOW
@given(histories)
def test_any_history_is_read_as_it_was_written(platform: Platform, shared_url: str, history: list[Any]) -> None:
    emptied(shared_url)
    model: list[StoredEvent] = []
    moment = AT
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        for step in history:
            if step == "archive":
                list(archive_events(platform, archive.directory, at=moment, rows_per_file=2, batch=1))
                continue
            stream, error, number, days, undone = step
            moment += days * DAY
            version = sum(event.stream == stream for event in model)
            try:
                with platform.postgres.session() as session:
                    assert version_of(session, stream) == version
                    events = [NewEvent("put", {"value": len(model) + more}) for more in range(number)]
                    added = append(session, stream, version + error, events, at=moment) if version + error >= 0 else ()
                    if undone:
                        raise LookupError
                assert (error, len(added)) in ((0, number), (-1, 0)), "an append to another version was taken"
                model += added
            except StreamConflictError:
                assert error != 0
            except LookupError:
                pass
        with platform.postgres.session() as session:
            assert list(read_all(session, archive=archive, batch=3)) == model
            for stream in STREAMS:
                own = [event for event in model if event.stream == stream]
                assert list(read_stream(session, stream, archive=archive, batch=2)) == own
                assert [event.version for event in own] == list(range(1, len(own) + 1))
            for event in model[::3]:
                until = [other.id for other in model if other.occurred_at <= event.occurred_at]
                ids = as_of(session, None, NOTHING, _noted, moment=event.occurred_at, archive=archive)
                assert ids == tuple(until)
                upto = as_of(session, event.stream, NOTHING, _noted, version=event.version, archive=archive)
                assert upto == tuple(o.id for o in model if o.stream == event.stream and o.id <= event.id)


def _noted(state: tuple[int, ...], event: StoredEvent) -> tuple[int, ...]:
    return (*state, event.id)


@SLOW
@given(st.dictionaries(st.text("abc"), json_values), st.dictionaries(st.text("xyz"), json_values))
def test_any_payload_comes_back(platform: Platform, payload: dict[str, object], meta: dict[str, object]) -> None:
    stream = Stream("loan", uuid4())
    with platform.postgres.session() as session:
        (event,) = append(session, stream, 0, [NewEvent("put", payload, meta)], at=AT)
        (found,) = read_stream(session, stream)
    assert (event.payload, event.meta) == (payload, meta)
    assert found == event


#: What each step makes of each state; any other pair is refused.
STEPS = {
    ("trigger", "active"): "triggered",
    ("execute", "triggered"): "executed",
    ("fail", "triggered"): "failed",
    ("cancel", "active"): "cancelled",
    ("expire", "active"): "expired",
}


@SLOW
@given(st.lists(st.sampled_from(("trigger", "execute", "fail", "cancel", "expire")), max_size=5))
def test_any_life_of_an_intent(platform: Platform, steps: list[str]) -> None:
    user_id = new_user(platform)
    condition = Condition(metric="m", comparison="below", threshold=Decimal(1))
    with platform.postgres.session(user_id=user_id) as session:
        action = IntentAction(kind="repay", asset="X", amount=Decimal(1))
        intent = intents.intend(session, user_id, condition, action, at=AT, expires_at=AT + DAY)
        state = "active"
        for step in steps:
            wanted = STEPS.get((step, state))
            try:
                if step == "trigger":
                    taken = len(intents.evaluate(session, user_id, {"m": Decimal(0)}, at=AT)) == 1
                elif step == "expire":
                    taken = intents.expire(session, at=AT + DAY) == 1
                else:
                    taken = True
                    if step == "execute":
                        intents.record_executed(session, intent.id, at=AT)
                    elif step == "fail":
                        intents.record_failed(session, intent.id, reason="x")
                    else:
                        intents.cancel(session, user_id, intent.id)
            except SettledError:
                taken = False
            assert taken == (wanted is not None)
            state = wanted or state
        session.refresh(intent)
        assert intent.status == state
        # of another user's example nothing is left to expire
        intents.expire(session, at=AT + DAY)
