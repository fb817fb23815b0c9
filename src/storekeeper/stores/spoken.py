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
_REDIS = b"PING\r\n"
_HTTP = b"HEAD / HTTP/1.0\r\n\r\n"
_POSTGRESQL = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # asks for TLS, and is answered by one byte
_MONGODB = struct.pack("<iiiiiB", 21 + len(_MESSAGE), 1, 0, 2013, 0, 0) + _MESSAGE
#: In the order in which the servers that are asked something strange answer soonest.
_QUESTIONS = {"Redis": _REDIS, "HTTP": _HTTP, "PostgreSQL": _POSTGRESQL, "MongoDB": _MONGODB}

Kind = Literal["PostgreSQL", "Redis", "HTTP", "MongoDB", "unknown"]


def spoken_at(address: Address, expected: Kind = "unknown", *, patience: float = 1.0) -> Kind | None:
    """The kind of server at an address; "unknown" where one listens that nothing is known of, None where none listens.

    Asks in one protocol after the other, that of the expected kind first, each over a connection of its own, for at
    most `patience` seconds each. One that wants TLS is unknown, and so is one that is stuck.
    """
    questions = sorted(_QUESTIONS, key=lambda kind: kind != expected)
    for kind in questions:
        try:
            answer = _answer(address, _QUESTIONS[kind], patience)
        except TimeoutError:  # far away, or behind a wall: who has more patience may find out
            return "unknown"
        if answer is None:
            return None
        found = _kind(_QUESTIONS[kind], answer)
        if found != "unknown":
            return found
    return "unknown"


async def spoken_at_async(address: Address, expected: Kind = "unknown", *, patience: float = 1.0) -> Kind | None:
    """`spoken_at` in a thread, since its sockets block."""
    return await asyncio.to_thread(spoken_at, address, expected, patience=patience)


def _kind(question: bytes, answer: bytes) -> Kind:
    if answer.startswith(b"HTTP/"):  # is said to anything that is no request, too
        return "HTTP"
    if answer.startswith((b"+PONG", b"-NOAUTH", b"-DENIED", b"-LOADING", b"-MASTERDOWN", b"-ERR max")):
        return "Redis"
    if question == _POSTGRESQL and answer in (b"S", b"N"):
        return "PostgreSQL"
    if answer[12:16] == struct.pack("<i", 2013):  # the operation code in the header of a message
        return "MongoDB"
    return "unknown"


def _answer(address: Address, question: bytes, patience: float) -> bytes | None:
    """The first bytes that come back; empty where none do; None where nobody listens. Raises TimeoutError where that
    is not to be known in time."""
    try:
        connection = _connected(address, patience)
    except TimeoutError:
        raise
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
