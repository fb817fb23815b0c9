"""The partitions that relational tables lack: of what is coming, and of the history that they keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from storekeeper.catalog import Range, TableLifecycle
from storekeeper.catalog.partitions import loadable, missing
from storekeeper.catalog.ranges import partition_name
from storekeeper.migrations.steps import Step
from storekeeper.stores.postgres.partition_sql import is_partitioned
from storekeeper.stores.postgres.partitions import make_partitions, partitions_of
from storekeeper.stores.sql.failures import translated
from storekeeper.stores.sql.running import inspected


@dataclass(frozen=True, slots=True)
class Lacking:
    """A table, and the partitions that it lacks, in order."""

    lifecycle: TableLifecycle
    ranges: tuple[Range, ...]

    @property
    def step(self) -> Step:
        """One step a table: Step("postgres", "make partitions", "invest.transactions", "transactions_2019 to …")."""
        table, partition = self.lifecycle.table.name, self.lifecycle.partition
        assert partition is not None, "only partitioned tables lack any"
        names = [partition_name(table, partition, piece) for piece in self.ranges]
        detail = names[0] if len(names) == 1 else f"{len(names)}, from {names[0]} to {names[-1]}"
        return Step("postgres", "make partitions", self.lifecycle.name, detail)


def partitions_on(connection: sa.Connection, lifecycles: Iterable[TableLifecycle]) -> dict[str, tuple[Range, ...]]:
    """What partitions there are, by table; tables that are not there, or not partitioned, are left out."""
    return {
        lifecycle.name: tuple(one.range for one in partitions_of(connection, lifecycle) if one.state == "attached")
        for lifecycle in lifecycles
        if lifecycle.partition is not None and inspected(connection, is_partitioned(lifecycle))
    }


def lacking(
    lifecycles: Iterable[TableLifecycle], actual: Mapping[str, Sequence[Range]], as_of: datetime
) -> tuple[Lacking, ...]:
    """The tables that lack partitions as of a moment; a table that `actual` does not name has none."""
    found = []
    for lifecycle in lifecycles:
        if lifecycle.partition is not None:
            wanted = loadable(lifecycle, lifecycle.partition, as_of)
            ranges = missing(lifecycle.partition, [wanted], actual.get(lifecycle.name, ()))
            found += [Lacking(lifecycle, ranges)] if ranges else []
    return tuple(found)


def make_lacking(connection: sa.Connection, table: Lacking) -> None:
    """Makes them, in short transactions on this connection."""
    make_partitions(_OwnConnection(connection), table.lifecycle, table.ranges)


@dataclass(frozen=True, slots=True)
class _OwnConnection:
    """Begins transactions on the one connection of a migration; what it had open ends by that."""

    connection: sa.Connection
    as_owner: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def begin(
        self, *, timeout: float | None, operation: str, target: str, local: Mapping[str, str]
    ) -> Iterator[sa.Connection]:
        assert timeout is None, "a migration is not cut off"
        self.connection.rollback()
        with translated(operation, target), self.connection.begin():
            for name, value in local.items():
                self.connection.execute(sa.select(sa.func.set_config(name, value, True)))
            yield self.connection
