"""Work that goes on beside the caller: in a task of the loop, or in a thread; and what both of them look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Condition, Thread


class AsyncMonitor:
    """A lock, and a bell for those who wait within it."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()

    async def __aenter__(self) -> None:
        await self._condition.acquire()

    async def __aexit__(self, *error: object) -> None:
        self._condition.release()

    async def wait(self, seconds: float | None = None) -> None:
        """Until the bell rings, or for so many seconds."""
        with suppress(TimeoutError):  # that it has not rung, the caller sees by what he waits for
            await asyncio.wait_for(self._condition.wait(), seconds)

    def ring(self) -> None:
        self._condition.notify_all()


class Monitor:
    """A lock, and a bell for those who wait within it."""

    def __init__(self) -> None:
        self._condition = Condition()

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *error: object) -> None:
        self._condition.release()

    def wait(self, seconds: float | None = None) -> None:
        """Until the bell rings, or for so many seconds."""
        self._condition.wait(seconds)

    def ring(self) -> None:
        self._condition.notify_all()


class AsyncBackground:
    """A task."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        async def run() -> None:
            await self._work()

        self._task = asyncio.create_task(run(), name="storekeeper-writer")

    async def join(self) -> None:
        """Waits until the work has ended, by itself or by who cancelled it."""
        if self._task is None:
            return
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait([self._task])
            raise


class Background:
    """A thread."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._thread = Thread(target=work, name="storekeeper-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Waits until the work has ended, where it began."""
        if self._thread.ident is not None:
            self._thread.join()
