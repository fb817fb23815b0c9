"""Why a server refused a connection: its SQLSTATE, which the driver has only of statements, and how far libpq came."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from psycopg import pq
from psycopg.abc import PQGenConn
from psycopg.waiting import WAIT_R, WAIT_W

_SQLSTATE: Final = re.compile(rb'ErrorResponse.*?\bC "(\w{5})"')


@dataclass(frozen=True, slots=True)
class Refusal:
    """What became of an attempt to connect: the server's SQLSTATE where it sent one, whether anything listened, and
    whether the server asked for a password of which there was none."""

    sqlstate: str | None
    reached: bool
    needs_password: bool = False


def refusal(conninfo: str, seconds: float) -> PQGenConn[Refusal]:
    """Attempts once more to connect, and tells what the server said. For the wait functions of psycopg.

    libpq keeps no SQLSTATE of a failed connection, but its trace of the protocol shows the code; the messages are
    translated to the server's language and no ground to decide on.
    """
    deadline = monotonic() + seconds
    with _memory_file() as trace:
        connection = pq.PGconn.connect_start(conninfo.encode())
        tracing = connection.status != pq.ConnStatus.BAD
        if tracing:
            connection.trace(trace)
        reached = needs_password = False
        try:
            while connection.status != pq.ConnStatus.BAD and monotonic() < deadline:
                reached = reached or connection.status not in (pq.ConnStatus.STARTED, pq.ConnStatus.MADE)
                polled = connection.connect_poll()
                if polled == pq.PollingStatus.READING:
                    yield connection.socket, WAIT_R
                elif polled == pq.PollingStatus.WRITING:
                    yield connection.socket, WAIT_W
                else:
                    break
            needs_password = bool(connection.needs_password)
        finally:
            if tracing:
                connection.untrace()
            connection.finish()
        found = _SQLSTATE.search(_content(trace))
        return Refusal(found[1].decode() if found else None, reached or found is not None, needs_password)


@contextmanager
def _memory_file() -> Iterator[int]:
    # in memory only: where a server asks for the password in the clear, the trace holds it
    descriptor = os.memfd_create("libpq-trace", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
