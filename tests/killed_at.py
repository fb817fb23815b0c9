"""Ends its own process by SIGKILL at the n-th step of an archiving: `python -m killed_at URL ENGINE FOLDER AS_OF N`.

ENGINE is partitions, or a version of TimescaleDB.

A step is the end of a transaction (just before and just after it), a sync of a file, a rename, a removal. N = 0 ends
nothing; either way a run that comes to its end prints how many steps it had.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cold_series import CATALOG, KEPT_CATALOG, tier
from storekeeper.stores.sql.pool import Pool
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.partitions import PartitionsEngine
from storekeeper.timescale.spellings import parsed
from timescale_series import moment
from timescale_stores import opened


class Steps:
    """Counts, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        self.done = 0
        self._last = last

    def step(self) -> None:
        self.done += 1
        if self.done == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            self.step()
            return function(*arguments, **named)

        return stepping

    def around(self, begin: Callable[..., Any]) -> Callable[..., Any]:
        """Of what opens a transaction."""

        @contextmanager
        def beginning(*arguments: Any, **named: Any) -> Iterator[Any]:
            with begin(*arguments, **named) as connection:
                yield connection
                self.step()
            self.step()

        return beginning


def main(url: str, engine: str, folder: str, as_of: str, last: str) -> None:
    steps = Steps(int(last))
    chosen: Any = PartitionsEngine() if engine == "partitions" else HypertablesEngine(parsed(engine))
    keeping = os.environ.get("KEEPING") == "yes"
    with opened(url, chosen, KEPT_CATALOG if keeping else CATALOG, archive=tier(Path(folder))) as store:
        Pool.begin = steps.around(Pool.begin)  # type: ignore[method-assign]  # whatever runs in this process is counted
        Pool.autocommit = steps.around(Pool.autocommit)  # type: ignore[method-assign]  # as above
        os.fsync = steps.before(os.fsync)
        Path.rename = steps.before(Path.rename)  # type: ignore[method-assign]  # as above
        Path.unlink = steps.before(Path.unlink)  # type: ignore[method-assign]  # as above
        store.drop_chunks("lab.ticks", as_of=moment(as_of))
        print(steps.done, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
