"""Record batches, taken while the store is being read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from storekeeper.stores.sql.arrow import RecordBatch


class AsyncBatches:
    """Record batches of one read, each taken from the store when it is asked for.

    | call | gives |
    | --- | --- |
    | `async for batch in batches` | all of them, in order |
    | `async with batches: …` | the same, and the connection back at the end of the block, however it ends |
    | `await batches.aclose()` | the connection back, without the rest |

    The read begins with the first batch, and holds a connection until the last one was taken, or until it is closed:
    who stops early and does not close it leaves that to the garbage collector. `schema` is Arrow's, known before.
    """

    def __init__(self, batches: AsyncGenerator[RecordBatch, None], schema: Any) -> None:
        self.schema = schema
        self._batches = batches

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordBatch:
        return await anext(self._batches)

    async def aclose(self) -> None:
        """Ends the read, and gives the connection back; once it has ended, nothing."""
        await self._batches.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
