"""Folders for sockets: made private, swept when their owner is dead."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from storekeeper.servers import rundir


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place for run folders, whatever the length of its name."""
    monkeypatch.setattr(rundir, "run_bases", lambda _: (tmp_path,))
    return tmp_path


def test_a_run_folder_is_private_and_goes_when_it_is_removed(base: Path) -> None:
    folder = rundir.make_run_folder({})
    assert folder.path.parent == base
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert rundir.sweep({}) == ()
    folder.remove()
    assert list(base.iterdir()) == []


def test_a_folder_whose_lock_is_free_is_swept_and_others_stay(base: Path) -> None:
    living = rundir.make_run_folder({})
    dead = rundir.make_run_folder({})
    os.close(dead.descriptor)
    (dead.path / "redis.sock").touch()
    young = base / f"{rundir.PREFIX}young"
    young.mkdir()
    old = base / f"{rundir.PREFIX}old"
    old.mkdir()
    os.utime(old, (0, 0))
    link = base / f"{rundir.PREFIX}link"
    link.symlink_to(base / "elsewhere")
    (base / f"{rundir.PREFIX}file").touch()
    (base / "other").mkdir()
    assert set(rundir.sweep({})) == {dead.path, old}
    assert living.path.exists()
    assert young.exists()
    assert link.is_symlink()
    living.remove()


def test_the_recorded_folder_is_swept_wherever_it_lies(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("runtime")
    recorded = elsewhere / f"{rundir.PREFIX}gone"
    recorded.mkdir()
    (recorded / "lock").touch()
    foreign = elsewhere / "documents"
    foreign.mkdir()
    (foreign / "lock").touch()
    assert rundir.sweep({}, recorded=foreign) == ()
    assert rundir.sweep({}, recorded=recorded) == (recorded,)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")
def test_other_users_folders_are_let_be(base: Path) -> None:
    foreign = base / f"{rundir.PREFIX}foreign"
    foreign.mkdir()
    (foreign / "lock").touch()
    os.chown(foreign, 65534, 65534)
    assert rundir.sweep({}) == ()
    assert foreign.exists()


def test_a_runtime_directory_is_used_only_if_a_socket_path_fits_below_it(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sk-", dir="/tmp") as name:
        short = Path(name)
        assert rundir.run_bases({"XDG_RUNTIME_DIR": str(short)}) == (short, Path("/tmp"))
        longest = short / ("x" * (rundir.SOCKET_PATH_LIMIT - 44 - len(str(short)) - 1))
        longest.mkdir()
        path = rundir.make_run_folder({"XDG_RUNTIME_DIR": str(longest)})
        assert path.path.parent == longest
        (path.path / "postgres").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path.path / "postgres/.s.PGSQL.5432"))
        path.remove()
        longest.rename(f"{longest}x")
        assert rundir.run_bases({"XDG_RUNTIME_DIR": f"{longest}x"}) == (Path("/tmp"),)
    assert rundir.run_bases({"XDG_RUNTIME_DIR": str(short)}) == (Path("/tmp"),)
    assert rundir.run_bases({"XDG_RUNTIME_DIR": "relative"}) == (Path("/tmp"),)
    assert rundir.run_bases({}) == (Path("/tmp"),)


def test_the_lock_is_held_from_the_moment_it_has_its_name(base: Path) -> None:
    folder = rundir.make_run_folder({})
    with (folder.path / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    folder.remove()
