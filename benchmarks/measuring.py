"""Ways to do one thing, timed in turns in one run: what counts is the ratio of their medians."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
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
    rates = race({"ours": ours, "theirs": theirs}, rounds=rounds)
    return compared(name, rates["ours"], rates["theirs"], target=target)


def race(
    ways: Mapping[str, Work], *, rounds: int = 5, before: Callable[[], object] | None = None, warm_up: bool = True
) -> dict[str, float]:
    """The median rate of each of several ways to do one thing, timed in turns. `before` each is not timed."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for counted in range(-1 if warm_up else 0, rounds):
        for way, work in ways.items():
            if before is not None:
                before()
            began = time.perf_counter()
            units = work()
            seconds = time.perf_counter() - began
            if counted >= 0:
                rates[way].append(units / seconds)
    return {way: statistics.median(rate) for way, rate in rates.items()}


def compared(name: str, ours: float, theirs: float, *, target: float) -> Measured:
    """Two rates of one race."""
    return Measured(name, round(ours, 1), round(theirs, 1), round(ours / theirs, 3), target)


def peak(function: Callable[..., object], *arguments: object) -> float:
    """By how many MB a call of a module-level function raises the memory of a process of its own, imports included."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_peak, function, arguments).result()


def _peak(function: Callable[..., object], arguments: tuple[object, ...]) -> float:
    before = _memory("VmRSS")
    function(*arguments)
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """MB of this process. (What getrusage() calls the most began with the process that this one was forked from.)"""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def written(area: str, results: Sequence[Measured]) -> Path:
    """One object a line, in benchmarks/results/AREA.jsonl."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{area}.jsonl"
    path.write_text("".join(json.dumps(asdict(result)) + "\n" for result in results))
    return path
