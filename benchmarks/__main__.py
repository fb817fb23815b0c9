"""`python -m benchmarks AREA [FOLDER]`: runs the measurements of an area; exits with 1 where one is below its target.

FOLDER holds real files for the areas that can take them.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.measuring import Measured, written

#: The modules of each area.
AREAS = {
    "real-input": ("real_input",),
    "relational": ("relational", "relational_postings", "relational_protection"),
    "time-series": ("series_in", "series_out", "series_life"),
}
#: Those that take a folder of files.
WITH_FILES = {"real-input"}


def main(arguments: list[str]) -> int:
    area, *folder = arguments or [""]
    if area not in AREAS or len(folder) > (area in WITH_FILES):
        print(f"say which: {', '.join(AREAS)}; a folder of files may follow {', '.join(WITH_FILES)}", file=sys.stderr)
        return 2
    results: list[Measured] = []
    for module in AREAS[area]:
        results += importlib.import_module(f"benchmarks.{module}").run(*map(Path, folder))
    for result in results:
        verdict = "ok" if result.reached else "LOW"
        rates = f"{result.ours:,.0f}/s against {result.theirs:,.0f}/s"
        print(f"{verdict:4} {result.name}: {rates}, {result.ratio:.2f} (at least {result.target})")
    print(written(area, results))
    return 0 if all(result.reached for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
