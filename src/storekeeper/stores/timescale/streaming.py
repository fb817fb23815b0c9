# Generated from streaming_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Record batches, taken while the store is being read."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, Self

from storekeeper.stores.sql.arrow import RecordBatch


class Batches:
    """Record batches of one read, each taken from the store when it is asked for.

    | call | gives |
    | --- | --- |
    | `async for batch in batches` | all of them, in order |
    | `async with batches: …` | the same, and the connection back at the end of the block, however it ends |
    | `await batches.aclose()` | the connection back, without the rest |

    The read begins with the first batch, and holds a connection until the last one was taken, or until it is closed:
    who stops early and does not close it leaves that to the garbage collector. `schema` is Arrow's, known before.
    """

    def __init__(self, batches: Generator[RecordBatch, None], schema: Any) -> None:
        self.schema = schema
        self._batches = batches

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordBatch:
        return next(self._batches)

    def close(self) -> None:
        """Ends the read, and gives the connection back; once it has ended, nothing."""
        self._batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
