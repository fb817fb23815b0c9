"""Scratch servers over a copy of a backup's files: the proof that a backup can be restored."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import redis

from storekeeper.servers.binaries import Program, find_program
from storekeeper.servers.identity import Identity, give, postgres_identity
from storekeeper.servers.launcher import shim_argv


@contextmanager
def restored_postgres(data: Path, like: str, *settings: str, program: Program | None = None) -> Iterator[str]:
    """A server over a copy of `data`, with these settings; the URL is `like` with another socket."""
    with tempfile.TemporaryDirectory(prefix="storekeeper-restored-") as made:
        copy, sockets = Path(made) / "data", Path(made) / "s"
        shutil.copytree(data, copy)
        sockets.mkdir(0o700)
        url = urlunsplit(urlsplit(like)._replace(query=f"host={quote(str(sockets), safe='')}"))
        with running_postgres(copy, sockets, program or find_program("postgres"), url, *settings):
            yield url


@contextmanager
def running_postgres(data: Path, sockets: Path, program: Program, url: str, *settings: str) -> Iterator[None]:
    """A server of a data directory, which may be root's, until the block ends."""
    identity = postgres_identity(program, needed=(data, sockets))
    for folder in (data, sockets):
        give(folder, identity)
    argv = [str(program.path), "-D", str(data), "-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"]
    argv += [part for setting in settings for part in ("-c", setting)]
    log = data.parent / "postgres.log"
    with log.open("ab") as words:
        child = subprocess.Popen(as_identity(identity, *argv), stdout=words, stderr=words, cwd="/")
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert child.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(20)


def as_identity(identity: Identity, *argv: str) -> list[str]:
    """The command line of a program that refuses to be root."""
    return shim_argv(argv, death_signal=signal.SIGQUIT, identity=identity.shim_argument, needed=())


@contextmanager
def restored_redis(rdb: Path) -> Iterator[redis.Redis]:
    """A server that has loaded a copy of an RDB file."""
    with tempfile.TemporaryDirectory(prefix="storekeeper-restored-") as made:
        shutil.copy(rdb, Path(made) / "dump.rdb")
        socket = Path(made) / "s"
        argv = [
            str(find_program("redis").path),
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--dir",
            made,
            "--save",
            "",
        ]
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        client = redis.Redis(unix_socket_path=str(socket))
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    client.ping()
                    break
                except (redis.ConnectionError, redis.BusyLoadingError):
                    assert time.monotonic() < deadline
                    assert child.poll() is None
                    time.sleep(0.02)
            yield client
        finally:
            client.close()
            child.kill()
            child.wait(10)
