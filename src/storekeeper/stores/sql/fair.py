"""Pools whose connections go to those who wait for one in the order in which they came.

SQLAlchemy's own queues let whoever asks while a connection lies there have it: a borrower that gives one back and asks
again at once overtakes all that wait, and under load some wait for ever. Here what comes back while somebody waits is
handed over, and never lies there.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, QueuePool
from sqlalchemy.util import await_only
from sqlalchemy.util.queue import Empty, Full, QueueCommon

T = TypeVar("T")


class _Waiter(Generic[T]):
    """One thread's place in the line, and what it is handed."""

    def __init__(self) -> None:
        self.turn = threading.Event()
        self.handed: list[T] = []


class FairQueue(QueueCommon[T]):
    """What a pool keeps its idle connections in, for threads."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._items: deque[T] = deque()
        self._waiting: deque[_Waiter[T]] = deque()
        # reentrant: a connection may be given back by the garbage collector, in the middle of anything
        self._mutex = threading.RLock()

    def qsize(self) -> int:
        return len(self._items)

    def empty(self) -> bool:
        return not self._items

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._items)

    def put_nowait(self, item: T) -> None:
        with self._mutex:
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.handed.append(item)
                waiter.turn.set()
            elif self.full():
                raise Full
            else:
                self._items.append(item)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        self.put_nowait(item)  # a pool never waits for room

    def get_nowait(self) -> T:
        with self._mutex:
            if not self._items:
                raise Empty
            return self._items.pop() if self.use_lifo else self._items.popleft()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        with self._mutex:
            if self._items or not block:
                return self.get_nowait()
            waiter = _Waiter[T]()
            self._waiting.append(waiter)
        try:
            waiter.turn.wait(timeout)
        except BaseException:
            with self._mutex:
                self._leave(waiter)
                for item in waiter.handed:
                    self.put_nowait(item)
            raise
        with self._mutex:
            if waiter.handed:  # at the last moment, perhaps
                return waiter.handed[0]
            self._leave(waiter)
        raise Empty

    def _leave(self, waiter: _Waiter[T]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)


class AsyncFairQueue(QueueCommon[T]):
    """The same for the tasks of one event loop."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._items: deque[T] = deque()
        self._waiting: deque[asyncio.Future[T]] = deque()

    def qsize(self) -> int:
        return len(self._items)

    def empty(self) -> bool:
        return not self._items

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._items)

    def put_nowait(self, item: T) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled, or its time was over
                turn.set_result(item)
                return
        if self.full():
            raise Full
        self._items.append(item)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        self.put_nowait(item)  # a pool never waits for room

    def get_nowait(self) -> T:
        if not self._items:
            raise Empty
        return self._items.pop() if self.use_lifo else self._items.popleft()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        if self._items or not block:
            return self.get_nowait()
        handed: T = await_only(self._handed(timeout))
        return handed

    async def _handed(self, timeout: float | None) -> T:
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            # wait_for() of Python 3.11 forgets that it was cancelled where the item comes at the same moment
            async with asyncio.timeout(timeout):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # handed over at the very moment at which it was called off
                self.put_nowait(turn.result())
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Empty from error
            raise


class FairPool(QueuePool):
    """A pool for threads that serves them in the order in which they came."""

    # logs as SQLAlchemy's own pools do, and not with the platform's voice
    _sqla_logger_namespace = "sqlalchemy.pool.impl.FairPool"

    _queue_class: type[QueueCommon[ConnectionPoolEntry]] = FairQueue


class AsyncFairPool(AsyncAdaptedQueuePool):
    """A pool for tasks that serves them in the order in which they came."""

    _sqla_logger_namespace = "sqlalchemy.pool.impl.AsyncFairPool"

    _queue_class: type[QueueCommon[ConnectionPoolEntry]] = AsyncFairQueue
