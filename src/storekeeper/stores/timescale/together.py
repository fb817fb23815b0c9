"""Several transactions at once, of which none is committed before all have written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

T = TypeVar("T")


class AsyncTogether:
    """A meeting point for so many tasks."""

    def __init__(self, count: int) -> None:
        self._barrier = asyncio.Barrier(count)

    async def all_here(self) -> None:
        """Returns when every task has come here. Where one of them failed, the others are cancelled."""
        await self._barrier.wait()

    async def run(self, works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Runs them at once, and returns what they return; the first failure ends the others, and is raised."""

        async def one(work: Callable[[], Awaitable[T]]) -> T:
            return await work()

        tasks = [asyncio.create_task(one(work)) for work in works]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Together:
    """A meeting point for so many threads."""

    def __init__(self, count: int) -> None:
        self._barrier = Barrier(count)

    def all_here(self) -> None:
        """Returns when every thread has come here. Raises BrokenBarrierError where one of them failed."""
        self._barrier.wait()

    def run(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """Runs them at once, and returns what they return; a failure ends those that wait for it, and is raised."""

        def one(work: Callable[[], T]) -> T:
            try:
                return work()
            except BaseException:
                self._barrier.abort()
                raise

        with ThreadPoolExecutor(len(works), thread_name_prefix="storekeeper-append") as threads:
            futures = [threads.submit(one, work) for work in works]
            errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            # those that only waited know nothing of why
            raise next((error for error in errors if not isinstance(error, BrokenBarrierError)), errors[0])
        return [future.result() for future in futures]
