"""The series that revisions make, by what they are given: what a store holds cannot tell all of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from storekeeper.catalog import Hypertable
from storekeeper.errors import DeclarationError
from storekeeper.timescale.adjusting import standing


@dataclass(frozen=True, slots=True)
class Made:
    """Each series as revisions have left it, with the rollups that are there, by name. It is told operation by
    operation."""

    hypertables: dict[str, Hypertable] = field(default_factory=dict)

    def create_hypertable(self, hypertable: Hypertable) -> None:
        self.hypertables[hypertable.name] = replace(hypertable, rollups=())

    def alter_hypertable(self, before: Hypertable, after: Hypertable) -> None:
        self.hypertables[after.name] = replace(after, rollups=())
        self._with(after, standing(before, after))

    def drop_hypertable(self, hypertable: Hypertable) -> None:
        self.hypertables.pop(hypertable.name, None)

    def create_rollup(self, hypertable: Hypertable, name: str) -> None:
        self._with(hypertable, _place(hypertable, name) + 1)

    def drop_rollup(self, hypertable: Hypertable, name: str) -> None:
        self._with(hypertable, _place(hypertable, name))

    def _with(self, hypertable: Hypertable, count: int) -> None:
        # how the series is set, is what it was made with; how long buckets are kept is nothing that is made
        series = self.hypertables.get(hypertable.name, hypertable)
        rollups = tuple(replace(rollup, keep=None) for rollup in hypertable.rollups[:count])
        self.hypertables[hypertable.name] = replace(series, rollups=rollups)


def _place(hypertable: Hypertable, name: str) -> int:
    for place, rollup in enumerate(hypertable.rollups):
        if rollup.name == name:
            return place
    raise DeclarationError(f"has no rollup {name}", operation="migrate", target=hypertable.name)
