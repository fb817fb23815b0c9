"""Work on several servers by turns, in one thread.

A piece of work is a generator that yields whenever it waits for a fact to come true. Turns, not threads: a child dies
with the *thread* that started it (PR_SET_PDEATHSIG), so that one thread starts all of them, and that thread lives as
long as the supervisor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]

POLL_SECONDS = 0.02


def by_turns(works: Sequence[Steps[Result]], *, check: Callable[[], None] = lambda: None) -> list[Result]:
    """Runs all works to their end and returns their results in order.

    `check` is called between turns and may raise to give up. The first error closes the other works and is raised.
    """
    results: dict[int, Result] = {}
    try:
        while len(results) < len(works):
            check()
            for index, work in enumerate(works):
                if index in results:
                    continue
                try:
                    next(work)
                except StopIteration as end:
                    results[index] = end.value
            if len(results) < len(works):
                time.sleep(POLL_SECONDS)
    finally:
        for work in works:
            work.close()
    return [results[index] for index in range(len(works))]
