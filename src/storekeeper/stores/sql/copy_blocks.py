"""Blocks of a COPY … TO STDOUT (FORMAT binary): many rows at a time, sync and async alike.

psycopg gives a row at a time, each as an object of its own that the garbage collector looks at again and again. Here
rows are laid behind one another as they come, and only their lengths are kept: the server sends each row as one message
(so the protocol says).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import errors
from psycopg.abc import PQGen
from psycopg.generators import fetch_many
from psycopg.pq.abc import PGconn
from psycopg.waiting import Wait

from storekeeper.errors import StoreError

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00"
TRAILER: Final = b"\xff\xff"

#: Bytes after which a block is full, however few rows it has.
_FULL: Final = 8_388_608
#: Rows between two looks at that.
_STEP: Final = 64
#: Rows after which an answer is long.
_LONG: Final = 4096
_FIXED_HEADER: Final = len(SIGNATURE) + 8

#: Seconds for which the reader of a long answer lets the server's sends gather: they fit into the socket's buffers.
REST: Final = 0.001


@dataclass(slots=True)
class Block:
    """Rows as the server sent them, behind one another, and how long each is."""

    rows: bytearray = field(default_factory=bytearray)
    lengths: list[int] = field(default_factory=list)


class Blocks:
    """The rows of one COPY in binary: a `Block` after the other is filled, as often as `ended` is false.

    A COPY that has ended has still to be read once by psycopg (`copy.read()`), which takes the server's result.
    """

    def __init__(self, pgconn: PGconn) -> None:
        self.ended = False
        self._pgconn = pgconn
        self._begun = False
        self._earlier = 0  # rows of the blocks before
        self._rested = False

    def fill(self, block: Block, most: int) -> PQGen[bool]:
        """Add the next rows, until the block has `most` of them or is large enough: to be run by the connection's
        `wait`. True: come again after a REST. Raises what the server failed by."""
        rows, lengths = block.rows, block.lengths
        get, note = self._pgconn.get_copy_data, lengths.append
        if not self._begun:
            yield from self._begin(block)
        while not self.ended and len(lengths) < most and len(rows) < _FULL:
            # a short loop without further questions: it is where the time goes
            for _ in range(min(_STEP, most - len(lengths))):
                size, row = get(1)
                if size <= 2:
                    if not size and self._earlier + len(lengths) >= _LONG:
                        size, row = self._read_on()
                        if not size and not self._rested:
                            self._rested = True
                            return True
                    row = yield from self._waited(size, row)
                    if self.ended:
                        break
                    size = len(row)
                    self._rested = False
                rows += row
                note(size)
        self._earlier += len(lengths)
        return False

    def _begin(self, block: Block) -> PQGen[None]:
        """The first message: what goes before the rows, and the first of them."""
        size, row = self._pgconn.get_copy_data(1)
        message = bytes((yield from self._waited(size, row)))
        self._begun = True
        if not message.startswith(SIGNATURE):
            raise StoreError("the server's answer is no COPY in binary")
        extension = int.from_bytes(message[_FIXED_HEADER - 4 : _FIXED_HEADER], "big")
        first = message[_FIXED_HEADER + extension :]
        if first == TRAILER:
            self.ended = True
        elif first:
            block.rows += first
            block.lengths.append(len(first))

    def _waited(self, size: int, row: Any) -> PQGen[Any]:
        """The message that `get_copy_data` did not have yet, or the end of all of them."""
        while not size:
            while not (yield Wait.R):
                pass
            size, row = self._read_on()
        if size < 0:  # without a trailer: the server has failed
            results = yield from fetch_many(self._pgconn)
            raise errors.error_from_result(results[0])
        if size == len(TRAILER):
            self.ended = True
        return row

    def _read_on(self) -> tuple[int, Any]:
        """The next message, if what has come by now completes it."""
        self._pgconn.consume_input()
        return self._pgconn.get_copy_data(1)
