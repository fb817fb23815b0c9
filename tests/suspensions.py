"""Cancelling work at whichever of its awaits, for tests of what that leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Suspensions:
    """Awaits `work`, and cancels its task at its `first` suspension, and again `again` suspensions later."""

    def __init__(self, work: Coroutine[Any, Any, None], first: int, again: int | None) -> None:
        self._work, self._at = work, {first} if again is None else {first, first + again}

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        inner = self._work.__await__()
        count = 0
        step: Callable[[], Any] = lambda: inner.send(None)  # noqa: E731  # what resumes the work changes each time
        while True:
            try:
                waited_for = step()
            except StopIteration:
                return
            count += 1
            if count in self._at:
                loop.call_soon(task.cancel)
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001  # passed on to the work, as `await` does
                step = _thrower(inner, error)
            else:
                step = lambda: inner.send(None)  # noqa: E731  # rebound at each step


def _thrower(inner: Generator[Any, Any, None], error: BaseException) -> Callable[[], Any]:
    return lambda: inner.throw(error)


async def wait(suspensions: Suspensions) -> None:
    """What a task can be made of."""
    await suspensions
