# Generated from two_tiers_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""What the store says of its archive: which times lie there, which are nowhere, and its rows for others' statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from storekeeper.catalog import Catalog, Hypertable, Range
from storekeeper.clock import as_utc
from storekeeper.errors import InputError
from storekeeper.ledger import series
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.cold import Cold
from storekeeper.stores.timescale.lending import Lending, Stretch
from storekeeper.stores.timescale.read import Reader
from storekeeper.stores.timescale.tiers import Tiers
from storekeeper.timescale.conditions import check_range
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level, levels


class TwoTiers:
    """The store and its archive, as one: what AsyncReads asks."""

    def __init__(
        self, pool: Pool, catalog: Catalog, engine: Engine, *, service: bool = False, archive: Cold | None = None
    ) -> None:
        self.pool = pool
        self.catalog = catalog
        self.engine = engine
        self._reader = Reader(pool, engine, shown=service)
        self._tiers = Tiers(pool, engine, self._reader, archive)
        self._lending = Lending(pool, self._tiers)

    def stretches(
        self,
        dataset: Hypertable | str,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Sequence[object]] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        newest_first: bool = False,
        archived: bool = False,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
        local: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Iterator[Stretch]]:
        """For statements of one's own over the rows of a hypertable, in the archive or not: `async with
        store.stretches(…) as stretches`, then `async for stretch in stretches`, in order of time or in the opposite
        order.

        Each has a connection, the level whose table is to be read on it, and the range of time to read there; together
        they are [start, end), in one snapshot. Rows from files are in a temporary table, with these columns (those of
        `where` and of the order among them) and at least the rows of `where`; it is another's at the next stretch. With
        `archived`, only stretches that files have a part in. `local` are server settings of the transaction. Needs
        TEMPORARY on the database where files are read. Raises ArchiveError, ColumnError, InputError.
        """
        start, end = utc(start), utc(end)
        check_range(start, end, operation="read", target=self._hypertable(dataset).name)
        return self._lending.stretches(
            Level(self._hypertable(dataset), 0),
            columns,
            where,
            start=start,
            end=end,
            newest_first=newest_first,
            archived=archived,
            timeout=timeout,
            local=local or {},
        )

    def archived_extent(self, dataset: Hypertable | str) -> Range | None:
        """From the first row that is read from the cold tier to behind the last; None where there is none."""
        level = Level(self._hypertable(dataset), 0)
        with self._tiers.snapshot(level, DEFAULT) as connection:
            return self._tiers.extent(connection, level)

    def complete_from(self, dataset: Hypertable | str) -> datetime | None:
        """The time before which rows of a hypertable or rollup are neither in the store nor in the archive; None where
        all are there."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            if level.hypertable.archive and not level.depth:
                archived, complete = self._tiers.complete_from(connection, level)
                if archived:
                    return complete
            row = (connection.execute(series.watermark(level.name))).first()
        return None if row is None else row.dropped_before

    def archived(self, dataset: Hypertable | str) -> list[Range]:
        """The times whose rows are read from the cold tier; merged, in order."""
        return self._tiers.held(Level(self._hypertable(dataset), 0))

    def _hypertable(self, dataset: Hypertable | str) -> Hypertable:
        return dataset if isinstance(dataset, Hypertable) else self.catalog.hypertable(dataset)

    def _level(self, dataset: Hypertable | str) -> Level:
        if isinstance(dataset, Hypertable):
            return Level(dataset, 0)
        for hypertable in self.catalog.hypertables:
            for level in levels(hypertable):
                if level.name == dataset:
                    return level
        return Level(self.catalog.hypertable(dataset), 0)


def utc(moment: datetime | None) -> datetime | None:
    """An end of a range in UTC. Raises NaiveTimeError, InputError where it is none, or beyond the years 1 to 9999."""
    try:
        return None if moment is None else as_utc(moment)
    except OverflowError as error:
        raise InputError(f"{moment} lies before the year 1 or after 9999 in UTC", operation="read") from error
