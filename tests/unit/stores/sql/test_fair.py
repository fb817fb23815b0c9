"""Whoever waits for a connection has it in the order in which they came, and none is lost on the way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.queue import Empty, Full

from storekeeper.stores.sql.fair import AsyncFairQueue, FairQueue


def until(count: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + 10
    while count() != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_threads_are_served_in_the_order_in_which_they_came() -> None:
    queue = FairQueue[int](5)
    served: list[tuple[int, int]] = []

    def wait(number: int) -> None:
        served.append((number, queue.get(timeout=10)))

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    for count, thread in enumerate(threads, start=1):
        thread.start()
        until(lambda: len(queue._waiting), count)
    for item in range(5):
        queue.put(item, False)
        # who gives one back and asks again at once does not have it
        with pytest.raises(Empty):
            queue.get(False)
        until(lambda: len(served), item + 1)
    assert served == [(number, number) for number in range(5)]


def test_who_waited_too_long_leaves_the_line() -> None:
    queue = FairQueue[int](1)
    with pytest.raises(Empty):
        queue.get(timeout=0.01)
    queue.put(1, False)
    assert (queue.qsize(), queue.full(), queue.get(timeout=0.01)) == (1, True, 1)
    assert queue.empty()


def test_the_queue_has_its_size_and_its_order() -> None:
    for kind in (FairQueue[int], AsyncFairQueue[int]):
        for lifo, order in ((False, [1, 2]), (True, [2, 1])):
            queue = kind(2, lifo)
            queue.put(1)
            queue.put(2)
            with pytest.raises(Full):
                queue.put(3, False)
            assert [queue.get(False), queue.get(False)] == order
            with pytest.raises(Empty):
                queue.get(False)


def test_no_item_is_lost_among_threads_that_give_up() -> None:
    queue = FairQueue[int](3)
    for item in range(3):
        queue.put(item, False)
    gave_up = [0] * 12

    def borrow(number: int) -> None:
        for _ in range(200):
            try:
                item = queue.get(timeout=0.0005)
            except Empty:
                gave_up[number] += 1
                continue
            time.sleep(0.0003)
            queue.put(item, False)

    threads = [threading.Thread(target=borrow, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(gave_up) > 0
    assert sorted(queue.get(False) for _ in range(3)) == [0, 1, 2]


async def test_tasks_are_served_in_the_order_in_which_they_came() -> None:
    queue = AsyncFairQueue[int](5)
    served: list[tuple[int, int]] = []

    async def wait(number: int) -> None:
        served.append((number, await greenlet_spawn(queue.get, True, 10)))

    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(wait(number)))
        await asyncio.sleep(0)
    for item in range(5):
        queue.put(item, False)
        with pytest.raises(Empty):
            queue.get(False)
    await asyncio.gather(*tasks)
    assert served == [(number, number) for number in range(5)]
    with pytest.raises(Empty):
        await greenlet_spawn(queue.get, True, 0.01)


@pytest.mark.parametrize("handed_first", [True, False])
async def test_a_task_that_is_cancelled_as_it_is_served_gives_back(handed_first: bool) -> None:
    queue = AsyncFairQueue[int](1)

    async def wait() -> int:
        return int(await greenlet_spawn(queue.get, True, 10))

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    if handed_first:
        queue.put(7, False)
        first.cancel()
    else:
        first.cancel()
        queue.put(7, False)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 7
    assert queue.empty()
