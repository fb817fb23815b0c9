# Generated from timescale_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The time-series store: rows in, rows and bars out, and the life of chunks and rollups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from storekeeper.catalog import Catalog, Hypertable, Range
from storekeeper.clock import as_utc
from storekeeper.ledger import series
from storekeeper.span import Span
from storekeeper.stores.health import Health
from storekeeper.stores.sql.arrow import Table
from storekeeper.stores.sql.intake import Rows
from storekeeper.stores.sql.pool import Pool
from storekeeper.stores.sql.running import inspected
from storekeeper.stores.sql.transaction import DEFAULT, Default
from storekeeper.stores.timescale.append import Appender, Appending
from storekeeper.stores.timescale.chunk_maker import ChunkMaker
from storekeeper.stores.timescale.lifecycle import Lifecycle
from storekeeper.stores.timescale.read import Reader
from storekeeper.stores.timescale.values import Appended, Dropped, OnConflict, Refreshed, Size
from storekeeper.timescale.chunks import Chunk
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.lifecycle import ahead


class Timescale:
    """Time series, by the engine that the store was migrated with.

    | call | gives |
    | --- | --- |
    | `await store.append("invest.intraday_prices", frame)` | rows in: all, or none |
    | `await store.bars("invest.intraday_prices", ["AAPL"], every=minutes(5))` | bars, from the best rollup |
    | `await store.raw("invest.intraday_prices", start=…, where={"symbol": ["AAPL"]})` | rows as they are |
    | `await store.latest("invest.intraday_prices", ["AAPL", "MSFT"])` | the newest row of each key |
    | `await store.refresh("invest.intraday_prices", as_of=now)` | rollups made anew where rows changed |
    | `await store.drop_chunks("invest.intraday_prices", as_of=now)` | retention, once the rollups hold what goes |

    A dataset is a hypertable of the catalogue, or its name; where it says so, a rollup's name too. Answers are Arrow
    tables: times in UTC, NUMERIC as float64 or, with `exact`, as decimals; UUID and JSON as text. The pool is the
    caller's to open and close.
    """

    def __init__(
        self, pool: Pool, catalog: Catalog, engine: Engine, *, owner: str | None = None, service: bool = False
    ) -> None:
        """`owner` is the role that owns the tables, where the pool logs in by another one that may become it. `service`
        says that it logs in as one that may only write rows: chunks are made for it, and rollups shown to it."""
        self.pool = pool
        self.catalog = catalog
        self.engine = engine
        self._chunks = ChunkMaker(pool, engine, owner=owner, service=service)
        self._appender = Appender(pool, self._chunks)
        self._reader = Reader(pool, engine, shown=service)
        self._lifecycle = Lifecycle(pool, engine, self._chunks, owner=owner)

    def append(
        self,
        dataset: Hypertable | str,
        rows: Rows,
        *,
        round_to: Mapping[str, int] | None = None,
        on_conflict: OnConflict = "error",
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
    ) -> Appended:
        """Takes rows in: list of dicts, pandas or polars frame, Arrow table. All of them, or none; history too: its
        chunks are made as needed.

        Rows whose natural key is there already: "error" raises UniqueError, which names the key; "skip" leaves them
        out; "update" takes their columns over. Of rows with one key in the same call, "skip" takes the first, "update"
        the last. `round_to` names columns that may be rounded, and to how many decimals; `timeout` in seconds, the
        pool's by default.

        Raises ColumnError, ValueFitError (row, column), NaiveTimeError, CheckError, UniqueError, BelowWatermarkError.
        """
        return self._appender.append(
            self._hypertable(dataset), rows, round_to=round_to, on_conflict=on_conflict, timeout=timeout
        )

    def upsert(
        self,
        dataset: Hypertable | str,
        rows: Rows,
        *,
        round_to: Mapping[str, int] | None = None,
        timeout: float | Default | None = DEFAULT,  # the server's, of the transaction
    ) -> Appended:
        """`append` with on_conflict="update"."""
        return self.append(dataset, rows, round_to=round_to, on_conflict="update", timeout=timeout)

    def appending(
        self,
        dataset: Hypertable | str,
        *,
        on_conflict: OnConflict = "error",
        timeout: float | Default | None = None,
    ) -> AbstractContextManager[Appending]:
        """One transaction for rows that come piece by piece: `async with store.appending(…) as rows`, then
        `await rows.write(…)` as often as it takes.

        Committed at the end of the block, undone by an exception.
        """
        return self._appender.appending(self._hypertable(dataset), on_conflict=on_conflict, timeout=timeout)

    def bars(
        self,
        dataset: Hypertable | str,
        keys: Sequence[object] | None = None,
        *,
        every: Span,
        start: datetime | None = None,
        end: datetime | None = None,
        exact: bool = False,
    ) -> Table:
        """Bars of `every`, in order of time and key: bucket (its first instant), the keys, open, high, low, close,
        volume, vwap (volume-weighted average price), count, as far as the rollups have these measures.

        Whole buckets: those that [start, end) touches. They come from the coarsest rollup whose buckets fill them, and
        from the rows where that one is behind, so they are right whether or not a refresh has run. `keys` are values
        of the key column, or tuples where there are several; None for all. With `exact`, vwap has 12 decimals.

        Raises BelowWatermarkError where `start` lies before what retention has left for bars of this length.
        """
        return self._reader.bars(
            self._hypertable(dataset), keys, every=every, start=_utc(start), end=_utc(end), exact=exact
        )

    def raw(
        self,
        dataset: Hypertable | str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        where: Mapping[str, Sequence[object]] | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        exact: bool = False,
        newest_first: bool = False,
    ) -> Table:
        """Rows of [start, end) as they are, of a hypertable or (by name) of a rollup, in order of time and natural key,
        or in the opposite order: with a `limit`, the oldest or the newest of them.

        `where` names columns and the values that they may have.
        """
        return self._reader.rows(
            self._level(dataset),
            start=_utc(start),
            end=_utc(end),
            where=where,
            columns=columns,
            limit=limit,
            exact=exact,
            newest_first=newest_first,
        )

    def latest(self, dataset: Hypertable | str, keys: Sequence[object] | None = None, *, exact: bool = False) -> Table:
        """The newest row of each key (of the natural key without the time), in order of the keys.

        With `keys` it is a look-up by index, without them a look at every row.
        """
        return self._reader.latest(self._hypertable(dataset), keys, exact=exact)

    def chunks(self, dataset: Hypertable | str) -> list[Chunk]:
        """The chunks of a hypertable or rollup, in order of time."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            return inspected(connection, self.engine.chunks(level))

    def pending(self, dataset: Hypertable | str) -> list[Range]:
        """The times of a hypertable or rollup that changed since the rollup above it was made; merged, in order."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            return inspected(connection, self.engine.pending(level))

    def watermark(self, dataset: Hypertable | str) -> datetime | None:
        """The time below which the rows of a hypertable or rollup are gone; None where none ever went."""
        level = self._level(dataset)
        with self.pool.begin(operation="inspect", target=level.name) as connection:
            row = (connection.execute(series.watermark(level.name))).first()
        return None if row is None else row.dropped_before

    def sizes(self) -> list[Size]:
        """How large every hypertable and rollup of the catalogue is. Counts are the server's estimates."""
        with self.pool.begin(operation="inspect") as connection:
            marks = {row.dataset: row.dropped_before for row in connection.execute(series.all_watermarks())}
            sizes = []
            for level in (level for hypertable in self.catalog.hypertables for level in levels(hypertable)):
                chunks = inspected(connection, self.engine.chunks(level))
                sizes.append(
                    Size(
                        level.name,
                        level.hypertable.name if level.depth else None,
                        len(chunks),
                        sum(chunk.rows for chunk in chunks),
                        sum(chunk.bytes for chunk in chunks),
                        min((chunk.range.lower for chunk in chunks), default=None),
                        max((chunk.range.upper for chunk in chunks), default=None),
                        marks.get(level.name),
                    )
                )
        return sizes

    def refresh(self, dataset: Hypertable | str, *, as_of: datetime) -> list[Refreshed]:
        """Makes every rollup of a hypertable anew where what it is made of changed: buckets that had ended by `as_of`.

        One transaction a window; cut off in the middle, the rest stays noted for the next run.
        """
        return self._lifecycle.refresh(self._hypertable(dataset), as_utc(as_of))

    def drop_chunks(self, dataset: Hypertable | str, *, as_of: datetime, dry_run: bool = False) -> list[Dropped]:
        """Retention of a hypertable and of its rollups, one answer for each of which something goes.

        What goes is first held, and verified, by every rollup above it; rows older than it are refused from then on
        (or kept outside the rollups, as declared). Raises NotVerifiedError, ConflictError: nothing was dropped then of
        that level. Run it again after any failure.
        """
        return self._lifecycle.drop_chunks(self._hypertable(dataset), as_utc(as_of), dry_run=dry_run)

    def compress(self, dataset: Hypertable | str, *, as_of: datetime, dry_run: bool = False) -> list[Chunk]:
        """Compresses chunks older than declared, and returns them. Raises NotSupportedError where there are such chunks
        and the engine cannot."""
        return self._lifecycle.compress(self._hypertable(dataset), as_utc(as_of), dry_run=dry_run)

    def make_chunks_ahead(
        self, dataset: Hypertable | str, *, as_of: datetime, count: int, dry_run: bool = False
    ) -> list[Range]:
        """Makes the chunk that holds `as_of` and `count` after it, of a hypertable and of its rollups.

        Returns the ranges that were missing of the hypertable.
        """
        made: list[Range] = []
        for level in levels(self._hypertable(dataset)):
            wanted = ahead(level, as_utc(as_of), count)
            if dry_run:
                there = {chunk.range for chunk in self.chunks(level.name)}
                missing = [piece for piece in wanted if piece not in there]
            else:
                missing = self._chunks.ensure(level, wanted)
            made += missing if not level.depth else []
        return made

    def health(self) -> Health:
        """How the store is: never raises what the store fails by, but says it."""
        return self.pool.health()

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


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else as_utc(moment)
