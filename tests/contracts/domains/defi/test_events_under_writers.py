"""Many writers and readers of events at once, in threads and in tasks: nothing doubled, nothing missed."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import sqlalchemy as sa

import defi_domain
import defi_domain_async
from storekeeper import Platform
from storekeeper.domains.defi.errors import StreamConflictError
from storekeeper.domains.defi.events import NewEvent, StoredEvent, Stream
from storekeeper.domains.defi.operations.event_store import append, read_all, read_stream, version_of
from storekeeper.domains.defi.operations.event_store_async import append as append_async

AT = defi_domain.AT


class _TakenBackError(Exception):
    """A writer changed its mind."""


def write(platform: Platform, seed: int, transactions: int) -> int:
    """Transactions of one to three appends to streams of their own, left open for a moment; every fourth is undone."""
    chance = random.Random(seed)
    written = 0
    for number in range(transactions):
        try:
            with platform.postgres.session() as session:
                events = chance.randint(1, 3)
                for _ in range(events):
                    append(session, Stream("loan", uuid4()), 0, [NewEvent("lent", {"writer": seed})], at=AT)
                    session.execute(sa.text("SELECT pg_sleep(:s)"), {"s": chance.choice((0, 0, 0.001, 0.02))})
                if number % 4 == 3:
                    raise _TakenBackError
            written += events
        except _TakenBackError:
            continue
    return written


def follow(platform: Platform, done: threading.Event) -> list[int]:
    """Reads on after the last id that was seen, again and again, until writers are done and all is read."""
    seen: list[int] = []
    while True:
        last_round = done.is_set()
        with platform.postgres.session() as session:
            seen += [event.id for event in read_all(session, after=seen[-1] if seen else 0, batch=7)]
        if last_round:
            return seen


def test_a_reader_that_follows_misses_no_event(migrated_url: str) -> None:
    done = threading.Event()
    with defi_domain.defi_platform(migrated_url) as platform, ThreadPoolExecutor(11) as threads:
        readers = [threads.submit(follow, platform, done) for _ in range(3)]
        writers = [threads.submit(write, platform, seed, 25) for seed in range(8)]
        written = sum(writer.result() for writer in writers)
        done.set()
        with platform.postgres.session() as session:
            there = list(session.scalars(sa.text("SELECT id FROM defi.event_store ORDER BY id")))
        assert len(there) == written
        for reader in readers:
            assert reader.result() == there


def transfer(platform: Platform, stream: Stream, writer: int, times: int) -> int:
    """Appends what the stream's version is, read before, and tries again after a conflict; how many conflicts."""
    conflicts = 0
    for _ in range(times):
        while True:
            with platform.postgres.session() as session:
                version = version_of(session, stream)
                try:
                    event = NewEvent("counted", {"writer": writer, "seen": version})
                    append(session, stream, version, [event, event], at=AT)
                    break
                except StreamConflictError:
                    conflicts += 1
    return conflicts


def test_appends_to_one_stream_follow_one_another(migrated_url: str) -> None:
    stream = Stream("counter", uuid4())
    with defi_domain.defi_platform(migrated_url) as platform, ThreadPoolExecutor(8) as threads:
        tries = [threads.submit(transfer, platform, stream, writer, 10) for writer in range(8)]
        assert sum(one.result() for one in tries) > 0, "they never met"
        with platform.postgres.session() as session:
            events = list(read_stream(session, stream))
    assert [event.version for event in events] == list(range(1, 161))
    assert [event.payload["seen"] for event in events] == [number // 2 * 2 for number in range(160)]
    assert Counter(event.payload["writer"] for event in events) == dict.fromkeys(range(8), 20)


async def test_of_many_appends_to_one_version_one_is_made(migrated_url: str) -> None:
    streams = [Stream("loan", UUID(int=number)) for number in range(4)]
    async with defi_domain_async.defi_platform(migrated_url) as platform:

        async def attempt(stream: Stream, number: int) -> tuple[StoredEvent, ...]:
            async with platform.postgres.session() as session:
                try:
                    events = [NewEvent("lent", {"by": number})] * 3
                    return await append_async(session, stream, 0, events, at=AT)
                except StreamConflictError:
                    return ()

        made = await asyncio.gather(*(attempt(stream, number) for number in range(12) for stream in streams))
    kept = [event for events in made for event in events]
    assert sorted((event.stream.id, event.version) for event in kept) == [
        (stream.id, version) for stream in streams for version in (1, 2, 3)
    ]
    assert {len({event.payload["by"] for event in kept if event.stream == stream}) for stream in streams} == {1}
