"""Events leave the database for files and are read as before; whatever ends in between loses and doubles none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pyarrow.parquet as pq
import pytest

from defi_domain import defi_platform
from storekeeper import Action, Platform, connect
from storekeeper.domains.defi import jobs
from storekeeper.domains.defi.archive import Archive
from storekeeper.domains.defi.archiving import archive_events
from storekeeper.domains.defi.errors import ArchivedEventsError, DamagedArchiveError, StreamConflictError
from storekeeper.domains.defi.events import NewEvent, StoredEvent, Stream
from storekeeper.domains.defi.operations.event_store import append, as_of, read_all, read_stream
from storekeeper.domains.defi.operations.export import export
from storekeeper.jobs import run_job

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOAN, VAULT = Stream("loan", UUID(int=1)), Stream("vault", UUID(int=2))


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    with defi_platform(migrated_url) as platform:
        yield platform


@pytest.fixture
def history(platform: Platform) -> list[StoredEvent]:
    """Two streams in turns, an event each 100 days from 2024 on."""
    made: list[StoredEvent] = []
    for number in range(10):
        stream = (LOAN, VAULT)[number % 2]
        with platform.postgres.session() as session:
            event = NewEvent("lent", {"amount": f"{number}.10", "rate": 1e-7}, {"note": "ä\n"})
            made += append(
                session, stream, number // 2, [event], at=datetime(2024, 1, 1, tzinfo=UTC) + 100 * DAY * number
            )
    return made


def everything(platform: Platform, archive: Archive | None = None, after: int = 0) -> list[StoredEvent]:
    with platform.postgres.session() as session:
        return list(read_all(session, after=after, archive=archive, batch=2))


def stream_of(platform: Platform, stream: Stream, archive: Archive | None = None, after: int = 0) -> list[StoredEvent]:
    with platform.postgres.session() as session:
        return list(read_stream(session, stream, after=after, archive=archive, batch=2))


@pytest.mark.parametrize("given", [None, "elsewhere"])
def test_the_job_archives_as_the_role_of_jobs_and_says_what_it_would(
    history: list[StoredEvent],
    role_settings: dict[str, Any],
    tmp_path: Path,
    given: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "FILE", 2)
    place: dict[str, Any] = {"directory": tmp_path, "archive": tmp_path / given if given else None}
    with connect(stores=("postgres",), role="jobs", **role_settings, **place) as platform:
        would, done, again = (
            run_job(platform, "defi.archive", as_of=NOW, dry_run=dry_run).report.actions
            for dry_run in (True, False, False)
        )
    assert done == tuple(
        Action("archive", "defi.event_store", f"ids {ids}", rows=rows)
        for ids, rows in (("1 to 2", 2), ("3 to 4", 2), ("5 to 5", 1))
    )
    assert (would, again) == (done, ())
    folder = tmp_path / (given or "archive") / "defi" / "event_store"
    assert len(list(folder.iterdir())) == 3
    with connect(stores=("postgres",), **role_settings, **place) as service:
        assert everything(service, Archive.of(service.settings)) == history


def test_archived_and_live_events_are_one_sequence(
    platform: Platform, history: list[StoredEvent], tmp_path: Path
) -> None:
    files = list(archive_events(platform, tmp_path, at=NOW, rows_per_file=2, batch=1))
    assert [(file.after_id, file.last_id, file.rows) for file in files] == [(0, 2, 2), (2, 4, 2), (4, 5, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(file.name for file in files)
    archive = Archive(tmp_path)
    for after in range(11):
        assert everything(platform, archive, after) == history[after:]
    for stream in (LOAN, VAULT):
        own = [event for event in history if event.stream == stream]
        for after in range(6):
            assert stream_of(platform, stream, archive, after) == own[after:]
    with platform.postgres.session() as session:
        assert list(read_all(session, up_to=3, archive=archive)) == history[:3]
        assert list(read_all(session, after=1, up_to=7, archive=archive)) == history[1:7]
        assert list(read_stream(session, LOAN, after=1, up_to=2, archive=archive)) == [history[2]]
        moment = history[6].occurred_at
        assert as_of(session, None, 0, lambda state, _: state + 1, moment=moment, archive=archive) == 7


def test_without_the_archive_nothing_is_left_out_silently(
    platform: Platform, history: list[StoredEvent], tmp_path: Path
) -> None:
    assert len(list(archive_events(platform, tmp_path, at=NOW))) == 1
    assert list(archive_events(platform, tmp_path, at=NOW)) == [], "all that may go is gone"
    assert everything(platform, after=5) == history[5:]
    assert stream_of(platform, LOAN, after=3) == history[6::2]
    with pytest.raises(ArchivedEventsError):
        everything(platform, after=4)
    with pytest.raises(ArchivedEventsError):
        stream_of(platform, LOAN, after=2)


def test_an_archived_version_is_not_appended_again(
    platform: Platform, history: list[StoredEvent], tmp_path: Path
) -> None:
    assert list(archive_events(platform, tmp_path, at=NOW + 1000 * DAY))
    with platform.postgres.session() as session:
        for expected in (0, 3):
            with pytest.raises(StreamConflictError, match="at version 5"):
                append(session, LOAN, expected, [NewEvent("lent", {})], at=NOW)
        append(session, LOAN, 5, [NewEvent("lent", {})], at=NOW)
    assert [event.version for event in stream_of(platform, LOAN, Archive(tmp_path))] == [1, 2, 3, 4, 5, 6]


def test_an_event_waits_for_those_before_it(platform: Platform, tmp_path: Path) -> None:
    for days in (500, 10, 500):
        with platform.postgres.session() as session:
            append(session, Stream("loan", uuid4()), 0, [NewEvent("lent", {})], at=NOW - days * DAY)
    (file,) = archive_events(platform, tmp_path, at=NOW)
    assert (file.last_id, file.rows) == (1, 1)


def test_what_an_open_transaction_may_add_is_not_passed(platform: Platform, tmp_path: Path) -> None:
    with platform.postgres.session() as slow:
        append(slow, Stream("loan", uuid4()), 0, [NewEvent("lent", {})], at=NOW - 500 * DAY)
        with platform.postgres.session() as session:
            append(session, Stream("loan", uuid4()), 0, [NewEvent("lent", {})], at=NOW - 500 * DAY)
        assert list(archive_events(platform, tmp_path, at=NOW)) == []
    (file,) = archive_events(platform, tmp_path, at=NOW)
    assert file.rows == 2


def test_a_file_that_was_changed_or_lost_is_told(
    platform: Platform, history: list[StoredEvent], tmp_path: Path
) -> None:
    (file,) = archive_events(platform, tmp_path, at=NOW)
    path = tmp_path / file.name
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.raises(DamagedArchiveError, match="checksum"):
        everything(platform, Archive(tmp_path))
    path.unlink()
    with pytest.raises(DamagedArchiveError, match="missing"):
        everything(platform, Archive(tmp_path))
    path.write_bytes(whole)
    assert everything(platform, Archive(tmp_path)) == history


def test_all_is_exported_to_one_file(platform: Platform, history: list[StoredEvent], tmp_path: Path) -> None:
    assert list(archive_events(platform, tmp_path / "archive", at=NOW))
    path = tmp_path / "events.parquet"
    path.write_text("an older export")
    with platform.postgres.session() as session:
        assert export(session, path, archive=Archive(tmp_path / "archive"), batch=3) == 10
    rows = pq.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == [event.id for event in history]
    assert rows[1]["payload"] == '{"rate": 0.0000001, "amount": "1.10"}'
    assert rows[1]["occurred_at"] == history[1].occurred_at
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["events.parquet"]


def test_an_export_that_fails_leaves_what_was_there(
    platform: Platform, history: list[StoredEvent], tmp_path: Path
) -> None:
    assert list(archive_events(platform, tmp_path / "archive", at=NOW))
    path = tmp_path / "events.parquet"
    path.write_text("an older export")
    with platform.postgres.session() as session, pytest.raises(ArchivedEventsError):
        export(session, path)
    assert path.read_text() == "an older export"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["events.parquet"]


def test_readers_and_writers_while_events_are_archived(platform: Platform, tmp_path: Path) -> None:
    done = threading.Event()

    def write(seed: int) -> None:
        stream = Stream("loan", UUID(int=seed))
        for version in range(60):
            with platform.postgres.session() as session:
                append(session, stream, version, [NewEvent("lent", {})], at=NOW - 500 * DAY)

    def archive_on() -> None:
        while not done.is_set():
            list(archive_events(platform, tmp_path, at=NOW, rows_per_file=10, batch=4))

    def read_on() -> int:
        rounds = 0
        while not done.is_set():
            found = everything(platform, Archive(tmp_path))
            assert [event.id for event in found] == list(range(1, len(found) + 1))
            for seed in range(4):
                versions = [
                    event.version for event in stream_of(platform, Stream("loan", UUID(int=seed)), Archive(tmp_path))
                ]
                assert versions == list(range(1, len(versions) + 1))
            rounds += 1
        return rounds

    with ThreadPoolExecutor(7) as threads:
        others: list[Future[Any]] = [threads.submit(archive_on), threads.submit(archive_on), threads.submit(read_on)]
        writers = [threads.submit(write, seed) for seed in range(4)]
        for writer in writers:
            writer.result()
        done.set()
        for other in others:
            other.result()
    assert len(everything(platform, Archive(tmp_path))) == 240


#: Archives, and is killed at the given moment: before or after the rename, and before the commit.
PROGRAM = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from typing import Any
from storekeeper import connect
from storekeeper.domains.defi import archiving

url, directory, at, when = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if when == "before rename":
    archiving.EventFile.publish = die
elif when == "before delete":
    archiving._delete = die
else:
    delete = archiving._delete
    archiving._delete = lambda *given: (delete(*given), die())
with connect(stores=("postgres",), postgres_url=url) as platform:
    list(archiving.archive_events(platform, Path(directory), at=datetime.fromisoformat(at), rows_per_file=3))
"""


@pytest.mark.faults
@pytest.mark.parametrize("when", ["before rename", "before delete", "before commit"])
def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    platform: Platform, history: list[StoredEvent], migrated_url: str, tmp_path: Path, when: str
) -> None:
    argv = [sys.executable, "-c", PROGRAM, migrated_url, str(tmp_path), NOW.isoformat(), when]
    assert subprocess.run(argv, timeout=60, env=os.environ, check=False).returncode == -signal.SIGKILL
    assert everything(platform) == history
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute("SELECT count(*) FROM defi.event_archives").fetchone() == (0,)
    assert sum(file.rows for file in archive_events(platform, tmp_path, at=NOW, rows_per_file=3)) == 5
    assert everything(platform, Archive(tmp_path)) == history
    assert not list(tmp_path.glob(".*")), "what was partial was written over"
