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
        self._met = False

    async def all_here(self) -> None:
        """Returns when every task has come here. Where one of them failed, the others are cancelled."""
        await self._barrier.wait()
        self._met = True

    async def run(self, works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Runs them at once, and returns what they return; the first failure ends the others, and is raised. From the
        moment when all have met, neither a failure nor a cancellation ends another: what one began, all finish."""

        async def one(work: Callable[[], Awaitable[T]]) -> T:
            try:
                return await work()
            except BaseException:
                if not self._met:  # those that wait would wait for it
                    await self._barrier.abort()
                raise

        tasks = [asyncio.create_task(one(work)) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            if not self._met:
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks)
        errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
        _raise_first(errors)
        return [task.result() for task in tasks]


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
            try:
                futures = [threads.submit(one, work) for work in works]
            except BaseException:  # no thread could be had: those that run would wait for it
                self._barrier.abort()
                raise
            errors = [error for future in futures if (error := future.exception()) is not None]
        _raise_first(errors)
        return [future.result() for future in futures]


def _raise_first(errors: Sequence[BaseException]) -> None:
    """Raises why the work failed: those that only waited know nothing of it."""
    waited = (BrokenBarrierError, asyncio.BrokenBarrierError)
    if errors:
        raise next((error for error in errors if not isinstance(error, waited)), errors[0])
