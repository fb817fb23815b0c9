"""One call in a thread while the caller goes on: in a loop, and without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class AsyncBeside(Generic[T]):
    """`begin` a call, go on, take its `result`; then the next. What is not taken when the block ends is thrown away."""

    def __init__(self) -> None:
        self._coming: asyncio.Task[T] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call has begun whose result was not taken."""
        return self._coming is not None

    def begin(self, call: Callable[[], T]) -> None:
        self._coming = asyncio.create_task(asyncio.to_thread(call))

    async def result(self) -> T:
        """What the call returns, once it has; what it raises, is raised."""
        assert self._coming is not None, "a call has begun"
        coming, self._coming = self._coming, None
        return await coming

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None


class Beside(Generic[T]):
    """`begin` a call, go on, take its `result`; then the next. What is not taken when the block ends is thrown away.

    The thread is started by the first call.
    """

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._coming: Future[T] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call has begun whose result was not taken."""
        return self._coming is not None

    def begin(self, call: Callable[[], T]) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="storekeeper-beside")
        self._coming = self._threads.submit(call)

    def result(self) -> T:
        """What the call returns, once it has; what it raises, is raised."""
        assert self._coming is not None, "a call has begun"
        coming, self._coming = self._coming, None
        return coming.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
