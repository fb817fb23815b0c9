"""Two ways to do one thing, timed in turns in one run: what counts is the ratio of their medians."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

#: Does the work once, and says how many units (rows, bars) it was.
Work = Callable[[], int]


@dataclass(frozen=True)
class Measured:
    """Units a second of both; `ratio` is ours by theirs: higher is better, below `target` is a failure."""

    name: str
    ours: float
    theirs: float
    ratio: float
    target: float

    @property
    def reached(self) -> bool:
        return self.ratio >= self.target


def measure(name: str, ours: Work, theirs: Work, *, target: float, rounds: int = 5) -> Measured:
    """Times both in turns, after one round that does not count: what slows the machine slows both."""
    rates: tuple[list[float], list[float]] = ([], [])
    for counted in range(-1, rounds):
        for work, rate in zip((ours, theirs), rates, strict=True):
            began = time.perf_counter()
            units = work()
            seconds = time.perf_counter() - began
            if counted >= 0:
                rate.append(units / seconds)
    mine, other = (statistics.median(rate) for rate in rates)
    return Measured(name, round(mine, 1), round(other, 1), round(mine / other, 3), target)


def written(area: str, results: Sequence[Measured]) -> Path:
    """One object a line, in benchmarks/results/AREA.jsonl."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{area}.jsonl"
    path.write_text("".join(json.dumps(asdict(result)) + "\n" for result in results))
    return path
