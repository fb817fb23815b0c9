"""What a stack writes down of itself, and who may read it."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storekeeper.errors import AlreadyUpError, NotUpError
from storekeeper.servers import state
from storekeeper.servers.layout import Layout
from storekeeper.servers.processes import ProcessIdentity
from storekeeper.servers.stack import read_stack, stop_stack
from storekeeper.servers.state import ServerState, StackLock, StackState, StackUrls


def _me() -> ProcessIdentity:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    return me


def _state(directory: Path, process: ProcessIdentity) -> StackState:
    now = datetime(2014, 6, 1, tzinfo=UTC)
    log = directory / "logs/redis.log"
    servers = (ServerState("redis", "8.1.8", 7, "/run/storekeeper-x/redis.sock", log, now),)
    return StackState(directory, process, state.READY, True, now, Path("/run/storekeeper-x"), servers)


@pytest.mark.parametrize(
    ("server", "data", "program", "refused"),
    [
        ("postgres", "postgresql 18", "postgresql 18.6", False),
        ("postgres", "postgresql 17", "postgresql 18.6", True),
        ("postgres", "postgresql 19", "postgresql 18.6", True),
        ("redis", "valkey 8.0.1", "valkey 8.1.8", False),
        ("redis", "valkey 8.1.8", "valkey 9.0.0", False),
        ("redis", "valkey 9.0.0", "valkey 8.1.8", True),
        ("redis", "redis 7.2.4", "valkey 8.1.8", True),
        ("redis", "valkey unknown", "valkey 8.1.8", False),
        ("mongo", "secantus 0.7.0b3", "secantus unknown", False),
    ],
)
def test_which_data_a_program_may_open(server: str, data: str, program: str, refused: bool) -> None:
    assert (state.data_version_problem(server, data=data, program=program) is not None) is refused


def test_a_state_survives_its_file_and_gets_its_urls_from_the_secrets(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    password = state.passwords_of(layout)["redis"]
    written = _state(tmp_path, _me())
    state.write_state(written)
    read = state.recorded_state(tmp_path)
    assert read is not None
    assert read.urls.redis == f"unix://:{password}@/run/storekeeper-x/redis.sock?db=0"
    assert read.urls.as_dict() == {"redis": read.urls.redis}
    assert replace(read, urls=written.urls) == written
    assert password not in layout.run_file.read_text()
    assert password not in repr(read)
    with pytest.raises(NotUpError):
        _ = read.urls.postgres


def test_passwords_are_made_once_and_private(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = state.passwords_of(layout)
    assert state.passwords_of(layout) == first
    assert len(set(first.values())) == 7, "three servers, four roles of one of them"
    assert stat.S_IMODE(layout.secrets_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"process": {}}', '{"process": 3}'])
def test_a_run_file_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    Layout(tmp_path).run_file.write_text(text)
    assert state.recorded_state(tmp_path) is None


def test_the_second_lock_is_refused_and_points_at_the_first(tmp_path: Path) -> None:
    lock = StackLock(Layout(tmp_path))
    with pytest.raises(AlreadyUpError, match="another start of this stack is under way"):
        StackLock(Layout(tmp_path))
    state.passwords_of(Layout(tmp_path))
    state.write_state(_state(tmp_path, _me()))
    with pytest.raises(AlreadyUpError, match=rf"up already: process {os.getpid()}, since 2014-06-01"):
        StackLock(Layout(tmp_path))
    assert read_stack(tmp_path) is not None
    lock.release()
    StackLock(Layout(tmp_path)).release()


def test_a_lock_knows_when_its_directory_was_removed(tmp_path: Path) -> None:
    lock = StackLock(Layout(tmp_path))
    assert lock.is_in_place()
    Layout(tmp_path).stack_lock.unlink()
    assert not lock.is_in_place()
    Layout(tmp_path).stack_lock.touch()
    assert not lock.is_in_place()
    lock.release()


def test_a_dead_run_is_no_stack_though_its_pid_lives_on_in_another_process(tmp_path: Path) -> None:
    state.passwords_of(Layout(tmp_path))
    state.write_state(_state(tmp_path, replace(_me(), start_ticks=1)))
    assert read_stack(tmp_path) is None, "nobody holds the lock"
    lock = StackLock(Layout(tmp_path))
    try:
        assert read_stack(tmp_path) is None, "the lock's holder has not said yet who it is"
        with pytest.raises(NotUpError):
            stop_stack(tmp_path)
    finally:
        lock.release()


def test_no_directory_is_no_stack(tmp_path: Path) -> None:
    assert read_stack(tmp_path / "nowhere") is None
    (tmp_path / "file").touch()
    assert read_stack(tmp_path / "file") is None


def test_urls_keep_passwords_out_of_their_repr() -> None:
    assert "secret" not in repr(StackUrls({"redis": "unix://:secret@/x"}))
