"""Several at once, of which none ends before all have come so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread

import pytest

from storekeeper.stores.timescale.together import AsyncTogether, Together


def test_where_no_thread_can_be_had_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    together, ended = Together(3), []
    start = Thread.start
    started: list[Thread] = []

    def starting(thread: Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    def work() -> None:
        together.all_here()
        ended.append(1)

    monkeypatch.setattr(Thread, "start", starting)
    with pytest.raises(RuntimeError, match="can't start"):
        together.run([work] * 3)
    assert len(started) == 2
    assert not ended


@pytest.mark.parametrize("failing", [0, 2])
def test_a_thread_that_fails_ends_those_that_wait_for_it(failing: int) -> None:
    together, ended = Together(3), []

    def working(place: int) -> Callable[[], None]:
        def work() -> None:
            if place == failing:
                raise LookupError(place)
            together.all_here()
            ended.append(place)

        return work

    with pytest.raises(LookupError):
        together.run([working(place) for place in range(3)])
    assert not ended


@pytest.mark.parametrize("how", [LookupError, asyncio.CancelledError])
async def test_a_task_that_fails_ends_those_that_wait_for_it(how: type[BaseException]) -> None:
    together, ended = AsyncTogether(3), []

    async def work(place: int) -> None:
        if place == 1:
            raise how
        await together.all_here()
        ended.append(place)

    with pytest.raises((how, asyncio.BrokenBarrierError)):
        async with asyncio.timeout(10):
            await together.run([lambda place=place: work(place) for place in range(3)])  # type: ignore[misc]  # of ints
    assert not ended


@pytest.mark.parametrize("how", ["failure", "cancellation"])
async def test_once_all_have_met_each_comes_to_its_end(how: str) -> None:
    together, ended, met = AsyncTogether(3), [], asyncio.Event()
    going_on = asyncio.Event()

    async def work(place: int) -> None:
        await together.all_here()
        met.set()
        if how == "failure" and place == 0:
            raise LookupError(place)
        await going_on.wait()
        ended.append(place)

    running = asyncio.create_task(together.run([lambda place=place: work(place) for place in range(3)]))  # type: ignore[misc]  # of ints
    await met.wait()
    if how == "cancellation":
        running.cancel()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.05)
    going_on.set()
    with pytest.raises(LookupError if how == "failure" else asyncio.CancelledError):
        await running
    assert sorted(ended) == ([1, 2] if how == "failure" else [0, 1, 2])


async def test_what_they_return_comes_in_their_order() -> None:
    async def work(place: int) -> int:
        await asyncio.sleep(0.01 * (3 - place))
        return place

    assert await AsyncTogether(3).run([lambda place=place: work(place) for place in range(3)]) == [0, 1, 2]  # type: ignore[misc]  # of ints
    assert Together(2).run([lambda: 1, lambda: 2]) == [1, 2]
