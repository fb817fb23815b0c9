"""Servers of one test's own, to be broken: started from the same programs as the stack's, gone with the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from storekeeper.servers.binaries import find_program


class OwnServer:
    """A child process that listens on 127.0.0.1. `start()` again after `kill()` finds the same port and data."""

    def __init__(self, argv: Sequence[str], port: int, log: Path) -> None:
        self._argv = argv
        self.port = port
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()
                assert self._child.poll() is None, self._log.read_text()
                time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)
        if number == signal.SIGSTOP:  # which takes effect a little later
            os.waitid(os.P_PID, self._child.pid, os.WSTOPPED)

    def kill(self) -> None:
        """As a machine dies: SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None


@contextmanager
def own_redis(directory: Path, *options: str) -> Iterator[OwnServer]:
    """A Valkey or Redis server with these options of its command line, beside those that tests need."""
    port = free_port()
    program = str(find_program("redis").path)
    fixed = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "")
    yield from _running(OwnServer([program, *fixed, *options], port, directory / "redis.log"))


@contextmanager
def own_mongo(directory: Path) -> Iterator[OwnServer]:
    """A MongoDB-protocol server that syncs each commit, without users."""
    port = free_port()
    conf = directory / "mongo.toml"
    conf.write_text("")
    argv = [str(find_program("mongo").path), "--config", str(conf), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--storage-path", str(directory / "data"), "--cache-size", "64M", "--sync-on-commit"]
    yield from _running(OwnServer(argv, port, directory / "mongo.log"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _running(server: OwnServer) -> Iterator[OwnServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def http_server() -> Iterator[int]:
    """The port of an HTTP server: a server of the wrong kind for every store."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Says nothing."""
