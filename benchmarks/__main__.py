"""`python -m benchmarks AREA`: runs the measurements of an area; exits with 1 where one is below its target."""

from __future__ import annotations

import importlib
import sys

from benchmarks.measuring import Measured, written

AREAS = {"time-series": "time_series"}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in AREAS:
        print(f"say which: {', '.join(AREAS)}", file=sys.stderr)
        return 2
    (area,) = arguments
    results: list[Measured] = importlib.import_module(f"benchmarks.{AREAS[area]}").run()
    for result in results:
        verdict = "ok" if result.reached else "LOW"
        rates = f"{result.ours:,.0f}/s against {result.theirs:,.0f}/s"
        print(f"{verdict:4} {result.name}: {rates}, {result.ratio:.2f} (at least {result.target})")
    print(written(area, results))
    return 0 if all(result.reached for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
