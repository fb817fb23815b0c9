"""The embedded servers as their users meet them: up, used, found, down, and up again with the same data."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psycopg
import pymongo
import pytest
import redis
from pymongo.errors import OperationFailure

from storekeeper.errors import AlreadyUpError, NotUpError, ServerStartError
from storekeeper.servers import (
    RunningStack,
    detach_stack,
    read_stack,
    running_stack,
    stack_status,
    start_stack,
    stop_stack,
)
from storekeeper.servers.layout import Layout
from storekeeper.servers.processes import tree
from storekeeper.servers.state import is_locked


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "made by us") as running:
        yield running


def _nothing_left(directory: Path, run_folder: Path | None) -> None:
    assert not any(map(is_locked, Layout(directory).locks)), "a process is left"
    assert run_folder is None or not run_folder.exists()
    assert not Layout(directory).run_file.exists()


def test_every_url_answers_its_driver(stack: RunningStack) -> None:
    with psycopg.connect(stack.urls.postgres) as connection:
        row = connection.execute("SELECT current_database(), current_user, pg_is_in_recovery()").fetchone()
        assert row == ("storekeeper", "storekeeper", False)
    with redis.Redis.from_url(stack.urls.redis) as client:
        assert client.set("greeting", "hello")
    with pymongo.MongoClient[dict[str, object]](stack.urls.mongo) as mongo:
        with mongo.start_session() as session, session.start_transaction():
            mongo.t.c.insert_one({"a": 1}, session=session)
        assert mongo.t.c.count_documents({}) == 1
    assert stack.urls.timescale == stack.urls.postgres
    assert list(stack.urls.as_dict()) == ["postgres", "timescale", "redis", "mongo"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("wal_level", "replica"),
        ("summarize_wal", "on"),
        ("data_checksums", "on"),
        ("password_encryption", "scram-sha-256"),
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("autovacuum", "on"),
    ],
)
def test_postgres_is_configured_as_promised(stack: RunningStack, setting: str, value: str) -> None:
    with psycopg.connect(stack.urls.postgres) as connection:
        assert connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() == (value,)


def test_postgres_collates_by_the_builtin_provider_and_can_replicate(stack: RunningStack) -> None:
    with psycopg.connect(stack.urls.postgres) as connection:
        row = connection.execute(
            "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        assert row == ("b", "C.UTF-8")
        sizes = connection.execute("SELECT setting::int FROM pg_settings WHERE name = 'max_wal_senders'").fetchone()
        assert sizes is not None
        assert sizes[0] >= 5
        methods = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        assert methods == [("scram-sha-256",)]
        parallel = connection.execute(
            "SELECT count(*) FROM generate_series(1, 1000) a JOIN generate_series(1, 1000) b ON a = b"
        ).fetchone()
        assert parallel == (1000,)
    with psycopg.connect(f"{stack.urls.postgres}&replication=true", autocommit=True) as walsender:
        assert walsender.execute("IDENTIFY_SYSTEM").fetchone() is not None


def test_parallel_queries_share_memory_outside_of_files(stack: RunningStack) -> None:
    with psycopg.connect(stack.urls.postgres) as connection:
        connection.execute("CREATE TEMP TABLE unused (x int)")
        connection.execute("CREATE TABLE parallel AS SELECT x, x % 7 AS y FROM generate_series(1, 200000) x")
        connection.execute("SET parallel_setup_cost = 0")
        connection.execute("SET parallel_tuple_cost = 0")
        connection.execute("SET min_parallel_table_scan_size = 0")
        connection.execute("SET debug_parallel_query = on")
        row = connection.execute("SELECT count(*) FROM parallel a JOIN parallel b USING (x)").fetchone()
        assert row == (200000,)
        connection.rollback()


def test_redis_is_configured_as_promised(stack: RunningStack) -> None:
    with redis.Redis.from_url(stack.urls.redis, decode_responses=True) as client:
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-timestamp-enabled": "yes",
            "save": "3600 1",
            "dir": str(stack.directory / "redis"),
        }
        assert client.config_get(*wanted) == wanted


def test_nobody_gets_in_without_the_password(stack: RunningStack) -> None:
    folder = stack.state.run_folder
    assert folder is not None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host=str(folder / "postgres"), user="storekeeper", password="wrong", dbname="storekeeper")
    with redis.Redis(unix_socket_path=str(folder / "redis.sock")) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    port = stack.state.servers[2].endpoint.rpartition(":")[2]
    with (
        pymongo.MongoClient[dict[str, object]]("127.0.0.1", int(port)) as mongo,
        pytest.raises(OperationFailure),
    ):
        mongo.list_database_names()


def test_files_are_private_and_passwords_are_in_one_place(stack: RunningStack) -> None:
    layout = Layout(stack.directory)
    assert stat.S_IMODE(stack.directory.stat().st_mode) & 0o066 == 0
    for folder in (layout.conf, layout.logs, *(layout.data(server.name) for server in stack.state.servers)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    sockets = stack.state.run_folder
    assert sockets is not None
    assert stat.S_IMODE(sockets.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE((sockets / "redis.sock").stat().st_mode) == 0o700
    password = stack.urls.redis.partition("@")[0].rpartition(":")[2]
    for file in (*layout.conf.iterdir(), *layout.logs.iterdir(), layout.run_file):
        assert password not in file.read_text(), file


def test_no_password_is_visible_in_the_process_list(stack: RunningStack) -> None:
    passwords = [url.partition("@")[0].rpartition(":")[2] for url in stack.urls.as_dict().values()]
    for pid in tree(stack.state.pid):
        command_line = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [password for password in passwords if password in command_line]


def test_servers_have_sessions_of_their_own_and_one_parent(stack: RunningStack) -> None:
    for server in stack.state.servers:
        assert os.getsid(server.pid) == server.pid
        stat_fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat_fields[1]) == stack.state.pid


def test_a_running_stack_is_found_by_its_directory(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_stack(stack.directory)
    assert found == stack.state
    assert found is not None
    assert found.urls == stack.urls
    monkeypatch.chdir(stack.directory.parent)
    assert read_stack(Path(stack.directory.name)) == stack.state


def test_a_second_start_is_refused_and_points_at_the_first(stack: RunningStack) -> None:
    for start in (start_stack, detach_stack):
        with pytest.raises(AlreadyUpError, match=f"it is up already: process {stack.state.pid}, since"):
            start(stack.directory)
    with psycopg.connect(stack.urls.postgres) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_status_tells_of_every_server(stack: RunningStack) -> None:
    statuses = stack_status(stack.directory)
    assert [(status.name, status.state) for status in statuses] == [
        ("postgres", "up"),
        ("redis", "up"),
        ("mongo", "up"),
    ]
    for status in statuses:
        assert status.pid is not None
        assert status.uptime is not None
        assert status.memory_bytes is not None
        assert 1_000_000 < status.memory_bytes < 300_000_000
        assert status.data_bytes > 1000
        assert status.log.stat().st_size > 0
        assert status.version[0].isdigit()
        assert status.endpoint


def test_everything_is_there_again_after_down_and_up(tmp_path: Path) -> None:
    with running_stack(tmp_path) as first:
        with psycopg.connect(first.urls.postgres) as connection:
            connection.execute("CREATE TABLE kept (x int)")
        with redis.Redis.from_url(first.urls.redis) as client:
            client.set("kept", "yes")
            client.acl_setuser("backup", enabled=True, nopass=True, commands=["+ping"])
            client.acl_save()
        with pymongo.MongoClient[dict[str, object]](first.urls.mongo) as mongo:
            mongo.t.kept.insert_one({})
    _nothing_left(tmp_path, first.state.run_folder)
    assert read_stack(tmp_path) is None
    assert [status.state for status in stack_status(tmp_path)] == ["down"] * 3

    begun = monotonic()
    second = start_stack(tmp_path)
    seconds = monotonic() - begun
    try:
        with psycopg.connect(second.urls.postgres) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        with redis.Redis.from_url(second.urls.redis) as client:
            assert client.get("kept") == b"yes"
            assert "backup" in client.acl_users()
        with pymongo.MongoClient[dict[str, object]](second.urls.mongo) as mongo:
            assert mongo.t.kept.count_documents({}) == 1
    finally:
        second.stop()
    assert seconds < 5, "the promise for a warm start"
    second.stop()
    assert second.wait(timeout=0)
    _nothing_left(tmp_path, second.state.run_folder)


def test_a_detached_stack_outlives_its_starter_and_holds_none_of_its_streams(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from storekeeper.servers import detach_stack\n"
        "print(detach_stack(Path(sys.argv[1]), stores=('redis',)).pid)"
    )
    begun = monotonic()
    # The pipes would not come to their end as long as a process of the stack held them.
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=30, check=True
    )
    assert monotonic() - begun < 20
    state = read_stack(tmp_path)
    assert state is not None
    assert state.detached
    assert state.pid == int(done.stdout)
    assert os.getsid(state.pid) not in (state.pid, os.getsid(0))
    for descriptor in (0, 1, 2):
        held = Path(f"/proc/{state.pid}/fd/{descriptor}").readlink()
        assert held in (Path("/dev/null"), Layout(tmp_path).supervisor_log)
    with redis.Redis.from_url(state.urls.redis) as client:
        assert client.ping()
    with pytest.raises(NotUpError, match="postgres is not part of this stack"):
        _ = state.urls.postgres
    stop_stack(tmp_path)
    _nothing_left(tmp_path, state.run_folder)
    with pytest.raises(NotUpError):
        stop_stack(tmp_path)


def test_a_stack_may_be_started_by_a_thread_that_ends(tmp_path: Path) -> None:
    started: list[RunningStack] = []
    thread = threading.Thread(target=lambda: started.append(start_stack(tmp_path, stores=("redis",))))
    thread.start()
    thread.join()
    with redis.Redis.from_url(started[0].urls.redis) as client:
        assert not started[0].wait(timeout=0.6), "it outlives the thread, and the supervisor's look at its parent"
        assert client.ping()
    started[0].stop()


def test_several_stacks_run_side_by_side(tmp_path: Path, stack: RunningStack) -> None:
    with (
        running_stack(tmp_path / "a", stores=("postgres",)) as one,
        running_stack(tmp_path / "b", stores=("postgres",)) as two,
    ):
        assert len({one.urls.postgres, two.urls.postgres, stack.urls.postgres}) == 3
        for running in (one, two):
            with psycopg.connect(running.urls.postgres) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)


def test_own_settings_win_over_ours(tmp_path: Path) -> None:
    with running_stack(tmp_path, stores=("postgres",)):
        pass
    with (tmp_path / "postgres/postgresql.conf").open("a") as conf:
        conf.write("work_mem = '7MB'\n")
    with running_stack(tmp_path, stores=("postgres",)) as running, psycopg.connect(running.urls.postgres) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to whom PostgreSQL objects")
@pytest.mark.parametrize("namespaces", [True, False])
def test_root_runs_postgres_as_somebody_else_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespaces: bool
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    if not namespaces:
        # in the supervisor's own process: as where the kernel or a container forbids user namespaces
        (tmp_path / "sitecustomize.py").write_text(
            "import storekeeper.servers.identity as identity\nidentity.MAPPED = 'mapped:none'\n"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), *sys.path)))
    with running_stack(closed / "stack", stores=("postgres",)) as running:
        with psycopg.connect(running.urls.postgres) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        owner = (closed / "stack/postgres").stat().st_uid
        nobody = pwd.getpwnam("nobody").pw_uid
        if not namespaces:
            assert owner == nobody
            assert Path(f"/proc/{running.state.servers[0].pid}").stat().st_uid in (0, nobody)
    monkeypatch.undo()
    with running_stack(closed / "stack", stores=("postgres",)):
        assert (closed / "stack/postgres").stat().st_uid in (0, nobody)


def test_of_two_starts_at_once_one_wins_and_the_other_says_so(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from storekeeper.servers import detach_stack\n"
        "from storekeeper.errors import AlreadyUpError\n"
        "try: detach_stack(Path(sys.argv[1]), stores=('redis',)); print('won')\n"
        "except AlreadyUpError as error: print('refused')\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate(timeout=30)[0].strip() for process in processes)
    assert said == ["refused", "refused", "won"]
    stop_stack(tmp_path)


def test_an_unknown_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match="there are postgres, redis, mongo"):
        start_stack(tmp_path, stores=("mysql",))
    assert list(tmp_path.iterdir()) == []


def test_the_protocol_server_is_never_imported() -> None:
    script = "import sys, storekeeper.servers.supervisor; print([m for m in sys.modules if 'secantus' in m])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
