# Generated from verifier_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rollups compared with what their source yields, piece by piece, over two connections where the pool has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from storekeeper.catalog import Range
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import inspected
from storekeeper.stores.timescale.together import Together
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level

#: Comparing is work for a processor of the server's, and one statement has one: two leave others their share.
_AT_ONCE: Final = 2


class Verifier:
    """Counts rows of rollups that are not what their source yields."""

    def __init__(self, pool: Pool, engine: Engine) -> None:
        self._pool = pool
        self._engine = engine

    def different(self, level: Level, pieces: Sequence[Range]) -> int:
        """How many rows of a rollup differ from what its source yields, within these ranges of whole buckets. Each
        range is compared in a snapshot of its own."""
        count = min(_AT_ONCE, self._pool.settings.size + self._pool.settings.overflow)
        different = 0
        for start in range(0, len(pieces), count):  # a few at a time: an interruption waits for no more than these
            works = [partial(self._of_one, level, piece) for piece in pieces[start : start + count]]
            different += sum(Together(len(works)).run(works)) if len(works) > 1 else works[0]()
        return different

    def _of_one(self, level: Level, piece: Range) -> int:
        with self._pool.begin(timeout=None, operation="verify", target=level.name) as connection:
            return inspected(connection, self._engine.verify(level, piece))
