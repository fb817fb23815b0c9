"""Finds out what kind of server answers at an address, so that a wrong URL can be told from a server that is down."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Literal

#: host and port, or the path of a unix socket
Address = tuple[str, int] | str

_HELLO = b"\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
_MESSAGE = struct.pack("<i", len(_HELLO) + 4) + _HELLO
#: What to say, and how an answer begins that only this kind of server gives.
_QUESTIONS: tuple[tuple[str, bytes, tuple[bytes, ...]], ...] = (
    ("PostgreSQL", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", (b"S", b"N")),  # SSLRequest: one byte comes back
    ("Redis", b"PING\r\n", (b"+PONG", b"-NOAUTH", b"-DENIED", b"-LOADING", b"-ERR max", b"-MASTERDOWN")),
    ("HTTP", b"HEAD / HTTP/1.0\r\n\r\n", (b"HTTP/",)),
    ("MongoDB", struct.pack("<iiiiiB", 21 + len(_MESSAGE), 1, 0, 2013, 0, 0) + _MESSAGE, ()),
)

Kind = Literal["PostgreSQL", "Redis", "HTTP", "MongoDB", "unknown"]


def spoken_at(address: Address, *, patience: float = 0.5) -> Kind | None:
    """The kind of server at an address; "unknown" where one listens that nothing is known of, None where none listens.

    Asks in one protocol after the other, each over a connection of its own, for at most `patience` seconds each.
    """
    kind: Kind | None = None
    for name, question, answers in _QUESTIONS:
        answer = _answer(address, question, patience)
        if answer is None:
            return kind
        kind = "unknown"
        if name == "MongoDB":
            if answer[12:16] == struct.pack("<i", 2013):  # the operation code in the header of a message
                return "MongoDB"
        elif answer.startswith(answers) and not (name == "PostgreSQL" and len(answer) > 1):
            return name  # type: ignore[return-value]  # the names of the table above are the kinds
    return kind


async def spoken_at_async(address: Address, *, patience: float = 0.5) -> Kind | None:
    """`spoken_at` in a thread, since its sockets block."""
    return await asyncio.to_thread(spoken_at, address, patience=patience)


def _answer(address: Address, question: bytes, patience: float) -> bytes | None:
    """The first bytes that come back; empty where none do; None where nobody listens."""
    try:
        connection = _connected(address, patience)
    except OSError:
        return None
    with connection:
        try:
            connection.sendall(question)
            return connection.recv(64)
        except OSError:
            return b""


def _connected(address: Address, patience: float) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=patience)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(patience)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection
